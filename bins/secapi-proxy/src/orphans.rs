//! `secapi-proxy orphans`: what the sweeps found at the provider that no resource claims, by the admin API.

use ::settings::Environment;
use comfy_table::Table;
use serde_json::json;
use token_provisioner::settings::admin_settings;

use crate::{Failure, cli::Orphans};

/// The width of the table where no terminal sets one.
const WIDTH: u16 = 110;

/// Asks and prints; fails with 3 where there are some.
pub(crate) async fn run(command: &Orphans, environment: &Environment) -> Result<(), Failure> {
    let Orphans::List(arguments) = command;
    let client = admin_settings(environment)?.client().map_err(|error| Failure::Other(error.into()))?;
    let orphans = client.orphans().await.map_err(|error| Failure::Other(error.into()))?;
    if arguments.json {
        println!("{}", json!({ "items": orphans }));
    } else if orphans.is_empty() {
        println!("there are none");
    } else {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_FULL_CONDENSED);
        table.set_header(["project", "type", "id", "name", "made", "of the resource with uid"]);
        table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
        if table.width().is_none() {
            table.set_width(WIDTH);
        }
        for orphan in &orphans {
            let made = orphan.created.map(|at| at.to_string()).unwrap_or_default();
            let (project, uid) = (orphan.project.clone().unwrap_or_default(), orphan.uid.clone().unwrap_or_default());
            table.add_row([project, orphan.object_type.clone(), orphan.id.clone(), orphan.name.clone(), made, uid]);
        }
        println!("{table}");
        println!("docs/operations.md says what they are and how to remove them.");
    }
    if orphans.is_empty() { Ok(()) } else { Err(Failure::Code(3)) }
}
