DROP TABLE orphan_orders;
