//! How long actions take: medians of the lifelike profile, in milliseconds.
//!
//! create_server is from field reports (22–28 s); the others are plausible values, not measurements.

/// The median of a command at speed 1.
pub(crate) fn median_ms(command: &str) -> f64 {
    match command {
        "create_server" => 25_000.0,
        "delete_server" => 2_000.0,
        "start_server" => 5_000.0,
        "stop_server" => 3_000.0,
        "shutdown_server" => 1_000.0,
        // From the ACPI signal to the guest being off; not an action.
        "guest_shutdown" => 6_000.0,
        "reboot_server" => 4_000.0,
        "reset_server" => 3_000.0,
        "rebuild_server" => 20_000.0,
        "change_server_type" => 30_000.0,
        "create_image" => 60_000.0,
        "create_volume" => 3_000.0,
        "attach_volume" | "resize_volume" => 3_000.0,
        "detach_volume" => 2_000.0,
        "assign_primary_ip" | "unassign_primary_ip" | "create_primary_ip" => 2_000.0,
        "attach_to_network" | "detach_from_network" | "change_alias_ips" => 2_000.0,
        "add_subnet" | "delete_subnet" | "add_route" | "delete_route" | "change_ip_range" => 2_000.0,
        "set_firewall_rules" | "apply_firewall" | "remove_firewall" => 1_500.0,
        // Label selectors are looked at again some seconds after a label changed.
        "reselect" => 3_000.0,
        _ => 1_000.0,
    }
}
