DROP TABLE auxiliary_users;
