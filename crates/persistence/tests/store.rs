//! The store suite: every rule, on every store.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

mod suite;

use suite::{
    Backend, World, abandoned, access, bindings, bound, crowds, deletes, engine, epochs, hammer, hangups, lists, looks,
    orphans, oversight, queue, races, retired, roles, together, writes,
};

/// One test of each store for every rule.
macro_rules! suite {
    ($($module:ident: $($rule:ident),+;)+) => {
        suite!(@store memory Memory $($module: $($rule),+;)+);
        suite!(@store sqlite Sqlite $($module: $($rule),+;)+);
        suite!(@store postgres Postgres $($module: $($rule),+;)+);
    };
    (@store $name:ident $backend:ident $($module:ident: $($rule:ident),+;)+) => {
        mod $name {
            use super::*;
            $($(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    $module::$rule(&World::open(Backend::$backend).await).await;
                }
            )+)+
        }
    };
}

suite! {
    writes:
        a_new_resource_is_pending_and_a_second_put_changes_it,
        a_put_that_judged_another_version_is_stale,
        versions_and_times_rise_though_the_clock_stands_still,
        what_was_stored_comes_back_to_the_letter,
        a_put_needs_live_parents_and_strict_targets,
        what_is_being_deleted_takes_no_put_and_no_action,
        actions_are_judged_by_the_desired_power,
        one_of_many_creations_of_a_key_wins,
        one_of_many_updates_of_a_version_wins,
        a_name_with_a_nul_is_not_found;
    deletes:
        rules_decide_what_a_deletion_is_refused_by,
        a_second_deletion_changes_nothing,
        a_deletion_may_insist_on_a_version,
        subnets_go_with_their_network_unless_a_nic_uses_one,
        a_deletion_wakes_all_that_is_related;
    lists:
        pages_follow_each_other_by_name,
        pages_are_stable_under_writes,
        walks_are_stable_under_concurrent_writes,
        lists_show_deleted_resources_as_asked,
        lists_keep_to_their_collection,
        selectors_select_what_they_match,
        any_selector_selects_what_it_matches,
        new_labels_replace_the_old_ones,
        pages_are_asked_for_together,
        labels_of_the_release_before_are_found;
    looks:
        a_text_that_is_known_is_not_read_again_while_it_is_the_same,
        each_look_is_told_by_what_it_knows,
        live_children_are_counted_whatever_becomes_of_them;
    together:
        each_of_many_lookups_finds_what_it_asks_for,
        a_lookup_sees_what_was_written_before_it,
        changes_that_come_together_are_each_written_once,
        creations_that_come_together_are_each_made_once,
        a_creation_that_fails_harms_no_other_that_comes_with_it,
        admissions_that_come_together_are_each_their_own,
        progress_of_many_projects_is_each_its_own,
        progress_waits_for_nobody_elses_rows;
    queue:
        a_project_is_leased_to_one_owner_at_a_time,
        no_replica_takes_a_living_lease_for_its_duration,
        a_lease_that_ends_later_than_it_can_is_not_believed,
        no_engine_takes_what_a_newer_one_had,
        engines_count_those_that_stay,
        of_projects_that_are_shared_each_takes_its_share,
        a_call_may_be_sent_while_lease_and_intent_stand,
        a_former_holder_can_write_nothing,
        projects_with_due_work_are_leased_first,
        what_is_due_within_a_time_does_not_rest,
        what_is_queued_is_due_in_its_order,
        what_was_looked_at_leaves_the_queue_unless_it_was_woken,
        a_requeue_never_postpones,
        a_wake_up_during_work_is_not_lost,
        an_idle_resource_is_due_when_woken,
        retries_are_counted_until_they_end,
        what_waited_for_a_removed_row_is_woken;
    engine:
        conditions_follow_the_transitions,
        a_bundle_has_all_relations,
        many_are_read_and_written_as_each_by_itself,
        relevant_changes_wake_what_is_related_and_others_do_not,
        a_late_reference_is_woken_by_its_target,
        a_changed_reference_wakes_the_former_target,
        only_one_holder_claims_a_resource,
        a_change_of_a_holder_wakes_what_it_holds,
        an_auxiliary_knows_its_users,
        networks_and_gateways_of_a_workspace_know_and_wake_each_other,
        steps_and_marks_are_recorded_together,
        marks_of_a_call_that_certainly_failed_are_undone,
        a_resource_is_touched_once_a_step_was_recorded,
        removal_cleans_up_behind_a_resource,
        nothing_is_removed_that_is_alive_or_has_children,
        a_resource_made_again_begins_anew,
        steps_and_tombstones_are_kept_for_their_time,
        failed_steps_go_after_their_time_but_the_last_one,
        the_catalogue_is_replaced_by_compare_and_set,
        orphans_are_reported_by_project;
    orphans:
        a_removal_is_queued_until_it_has_ended,
        a_resource_remembers_what_it_is_to_have;
    epochs:
        an_epoch_is_wanted_before_it_is_current,
        a_paused_project_goes_on_as_after_a_takeover,
        what_a_pause_put_off_is_due_when_it_ends,
        a_project_is_known_by_what_was_made_in_it;
    bindings:
        a_binding_moves_the_workspace_and_all_that_is_in_it,
        a_workspace_with_provider_objects_stays_in_its_project,
        unbinding_is_refused_while_provider_objects_may_exist,
        never_bound_and_unbound_are_different,
        credentials_are_found_newest_first_and_resealed,
        a_token_of_a_former_life_cannot_be_bound,
        what_is_being_deleted_takes_a_new_token_of_its_project_alone;
    abandoned:
        a_project_that_is_declared_gone_is_deleted_with_all_that_is_in_it,
        nothing_is_left_alive_in_a_project_that_is_declared_gone;
    retired:
        a_credential_outlives_its_workspace_while_an_image_needs_it,
        a_credential_that_nothing_needs_leaves_with_its_workspace,
        several_retired_credentials_go_with_the_last_image,
        a_workspace_made_again_has_nothing_of_the_former_token,
        removing_a_retired_credential_is_refused_while_something_needs_it,
        what_the_release_before_leaves_behind_is_removed;
    crowds:
        no_put_without_a_precondition_is_refused_for_the_others,
        a_group_keeps_its_limit_though_many_join_at_once,
        who_has_a_turn_is_not_overtaken;
    hammer:
        no_child_is_born_under_a_parent_that_goes,
        no_reference_is_made_to_a_target_that_goes,
        what_no_rule_holds_goes_while_it_is_used,
        no_cascade_overlooks_what_came_meanwhile,
        no_child_misses_the_move_of_its_workspace,
        no_write_of_a_former_holder_lands_behind_the_new_one,
        commits_and_writes_go_side_by_side;
    hangups:
        what_is_acknowledged_after_a_hang_up_is_committed;
    access:
        tenants_are_registered_once_and_changed,
        a_version_rises_with_what_decides_and_with_nothing_else,
        writes_raise_the_tenants_that_assignments_open,
        a_snapshot_has_what_decides_in_a_tenant,
        revoked_tokens_are_remembered_until_they_end,
        a_configured_administrator_is_made_once;
    bound:
        the_stores_read_scopes_as_the_code_does,
        the_rule_that_ends_a_right_is_the_same_in_all_stores,
        an_assignment_of_one_workspace_ends_with_it,
        an_assignment_may_wait_for_its_workspace,
        a_change_keeps_the_workspace_unless_the_scopes_name_another,
        what_left_is_remembered_for_its_time,
        what_granted_something_is_remembered_with_its_specification;
    roles:
        a_role_that_leaves_is_taken_from_the_assignments_that_name_it,
        a_role_made_again_is_nobodys;
    oversight:
        activities_are_told_newest_first,
        a_workspace_is_paused_until_it_is_resumed,
        all_of_a_kind_are_told_whosever_they_are,
        projects_are_told_with_their_leases_and_backlogs,
        it_is_told_where_something_lies,
        what_a_holder_knows_of_the_request_budget_is_kept;
    races:
        roles_are_written_in_many_tenants_at_once,
        no_binding_is_missed_by_a_workspace_and_an_assignment_made_at_once,
        no_assignment_outlives_its_workspace,
        of_two_that_were_judged_by_the_same_roles_one_is_written,
        a_role_is_written_and_deleted_at_once,
        no_assignment_keeps_the_name_of_a_role_that_left,
        a_workspace_and_its_creators_assignment_are_one;
}

mod databases {
    use super::suite::databases;

    #[tokio::test]
    async fn sqlite_migrates_up_and_down() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("proxy.db").display());
        databases::migrations_go_up_and_down(&url).await;
    }

    #[tokio::test]
    async fn postgres_migrates_up_and_down() {
        databases::migrations_go_up_and_down(&persistence::testing::postgres_url().await.unwrap()).await;
    }

    #[tokio::test]
    async fn what_was_assigned_before_a_migration_is_bound_by_it() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("proxy.db").display());
        databases::what_was_assigned_before_a_migration_is_bound_by_it(&url).await;
        let url = persistence::testing::postgres_url().await.unwrap();
        databases::what_was_assigned_before_a_migration_is_bound_by_it(&url).await;
    }

    #[tokio::test]
    async fn a_role_whose_version_cannot_be_raised_is_not_written() {
        let url = persistence::testing::postgres_url().await.unwrap();
        databases::a_role_whose_version_cannot_be_raised_is_not_written(&url).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn replicas_that_start_together_migrate_once() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("proxy.db").display());
        databases::replicas_that_start_together_migrate_once(&url).await;
        let url = persistence::testing::postgres_url().await.unwrap();
        databases::replicas_that_start_together_migrate_once(&url).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_sqlite_file_is_made_for_its_owner_alone_and_one_that_is_there_keeps_its_mode() {
        use std::{fs, os::unix::fs::PermissionsExt as _};

        use control_plane::ports::ReadStore as _;

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.db");
        let url = format!("sqlite:{}", file.display());
        let store = persistence::connect(&url, &persistence::Options::default()).await.unwrap();
        store.installation().await.unwrap();
        // The write-ahead log too: it holds the same.
        let modes: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777))
            .collect();
        assert!(modes.len() > 1 && modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
        store.close().await;

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        persistence::connect(&url, &persistence::Options::default()).await.unwrap().close().await;
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[tokio::test]
    async fn a_folder_that_is_missing_is_named_and_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("missing/folder");
        let url = format!("sqlite:{}", folder.join("proxy.db").display());
        let error = persistence::connect(&url, &persistence::Options::default()).await.unwrap_err().to_string();
        assert!(error.contains(&format!("the folder {} does not exist", folder.display())), "{error}");
        assert!(!directory.path().join("missing").exists());
    }

    #[tokio::test]
    async fn errors_name_the_scheme_and_never_the_password() {
        databases::errors_name_the_scheme_and_never_the_password().await;
    }

    #[tokio::test]
    async fn what_a_server_refuses_is_told_with_its_place_and_a_remedy() {
        databases::what_a_server_refuses_is_told_with_its_place_and_a_remedy().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn two_stores_on_one_sqlite_file_wait_for_each_other() {
        databases::two_stores_on_one_sqlite_file_wait_for_each_other().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broken_postgres_connection_is_not_seen() {
        databases::a_broken_postgres_connection_is_not_seen().await;
    }

    #[tokio::test]
    async fn what_is_committed_outlives_the_store() {
        databases::what_is_committed_outlives_the_store().await;
    }
}

mod trouble {
    use super::suite::trouble;

    #[tokio::test]
    async fn sqlite_goes_on_when_there_is_room_again() {
        trouble::sqlite_goes_on_when_there_is_room_again().await;
    }

    #[tokio::test]
    async fn postgres_sessions_that_may_only_read_are_closed() {
        trouble::postgres_sessions_that_may_only_read_are_closed().await;
    }
}

mod waits {
    use super::suite::waits;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_put_that_waited_sees_what_became_of_what_it_depends_on() {
        waits::a_put_that_waited_sees_what_became_of_what_it_depends_on().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn creations_that_wait_keep_no_other_waiting() {
        waits::creations_that_wait_keep_no_other_waiting().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_deletion_that_waited_sees_what_came_meanwhile() {
        waits::a_deletion_that_waited_sees_what_came_meanwhile().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_role_that_waited_raises_the_tenants_that_were_opened_meanwhile() {
        waits::a_role_that_waited_raises_the_tenants_that_were_opened_meanwhile().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_role_that_waited_is_taken_from_who_named_it_meanwhile() {
        waits::a_role_that_waited_is_taken_from_who_named_it_meanwhile().await;
    }
}

mod statements {
    use super::suite::{Backend, statements};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_is_asked_as_often_as_it_must() {
        statements::operations_ask_the_database_as_often_as_they_must(Backend::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_is_asked_as_often_as_it_must() {
        statements::operations_ask_the_database_as_often_as_they_must(Backend::Postgres).await;
    }
}

mod scale {
    use super::suite::{Backend, scale};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_looks_up_what_a_put_is_judged_by() {
        scale::what_a_put_is_judged_by_is_looked_up(Backend::Sqlite).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_looks_up_what_a_put_is_judged_by() {
        scale::what_a_put_is_judged_by_is_looked_up(Backend::Postgres).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sqlite_walks_an_index_in_order() {
        scale::sqlite_walks_an_index_in_order().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_walks_an_index_in_order() {
        scale::postgres_walks_an_index_in_order().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn postgres_finds_keys_by_their_index_without_statistics() {
        scale::postgres_finds_keys_by_their_index_without_statistics().await;
    }
}
