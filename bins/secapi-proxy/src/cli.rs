//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use ::settings::parse_duration;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use seca_client::admin::Heir;

use crate::{
    address::Address,
    settings::{Flag, Setting},
};

/// SECA in, Hetzner Cloud out: a control plane that speaks the Sovereign European Cloud API and makes real Hetzner
/// Cloud resources of it.
///
/// Without a command it serves, with settings from flags, the environment and a configuration file. To try it
/// without anything prepared, run `secapi-proxy dev`.
#[derive(Debug, Parser)]
#[command(name = "secapi-proxy", version = crate::build::version(), args_conflicts_with_subcommands = true, term_width = WIDTH)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve (what happens without a command, too)
    Serve(ServeArgs),
    /// Run everything in one process: simulator, proxy, database, provisioner
    ///
    /// Needs nothing but a folder for its state. The provider is a simulator of its own; settings of the shell
    /// (HCLOUD_*, HETZNER_*, SECA_*) are not read, so nothing real is ever touched.
    Dev(DevArgs),
    /// Bring the database to the schema of this release, or back
    #[command(subcommand)]
    Migrate(Migrate),
    /// Issue signed bearer tokens without an identity provider, and look into them
    ///
    /// A key made here signs short-lived tokens; the server knows its public half through SECA_AUTH_ISSUERS_FILE.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Seal all stored provider tokens under the current key
    ///
    /// Set SECA_CREDENTIALS_KEY to the new key and put the former one into SECA_CREDENTIALS_KEYS_OLD, restart the
    /// servers so that they read both, run this, then drop the former key.
    RotateKeys(CommonArgs),
    /// Show what going on would do in projects that another database rules, and go on with --yes
    ///
    /// A database that was restored from a backup, or copied, finds in a project that another one has worked on it since:
    /// then the project is paused, and nothing in it is changed. This plans every resource of such a project against
    /// Hetzner Cloud as it is now, and shows what going on would delete or change. With `--yes` this database rules the
    /// project from now on, and the other one pauses.
    #[command(after_help = ADOPT_EXAMPLES)]
    AdoptProjects(AdoptArgs),
    /// Copy the database to a file, while it is in use
    ///
    /// Of SQLite the file is a database of its own, as it was at one moment. Of PostgreSQL this says what to run instead.
    /// docs/operations.md says how to restore.
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupArgs),
    /// See to what is at Hetzner Cloud, bears our mark, and belongs to no resource
    #[command(subcommand, after_help = ORPHANS_EXAMPLES)]
    Orphans(Orphans),
    /// Check settings, database and provider endpoint, and say what is wrong
    ///
    /// Sends no token anywhere and changes nothing.
    Doctor(ServeArgs),
}

/// What `orphans` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Orphans {
    /// List them, as the last sweeps found them
    List(OrphansArgs),
    /// Remove one, with the data that it holds; without --yes say what would be removed
    ///
    /// The removal is kept in the database and done by whoever works on the project, once the object was read again: it must
    /// still bear our mark, and belong to no resource.
    Remove(OrphanArgs),
    /// Give one to a resource that has no object of its own; without --yes say what would be given
    ///
    /// A volume becomes a block storage's, a primary IP a public IP's, a snapshot an image's. A server is given to nobody.
    Adopt(AdoptOrphanArgs),
}

/// Which orphan, as `orphans list` shows it.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrphanArgs {
    /// The id of its project
    #[arg(value_name = "PROJECT")]
    pub(crate) project: String,
    /// Its type: volume, server, primary_ip, image …
    #[arg(value_name = "TYPE")]
    pub(crate) object_type: String,
    /// Its id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Flags of `orphans adopt`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdoptOrphanArgs {
    #[command(flatten)]
    pub(crate) orphan: OrphanArgs,
    /// The resource: its kind follows from the type. An image is in no workspace: TENANT/NAME
    #[arg(long, value_name = "TENANT/WORKSPACE/NAME", value_parser = heir)]
    pub(crate) into: Heir,
    /// The region of the resource [default: the server's default one]
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Option<String>,
}

/// Flags of `orphans list`.
#[derive(Clone, Debug, Args)]
pub(crate) struct OrphansArgs {
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `backup`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// The file to make; it must not be there
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// What `migrate` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Bring the database to the schema of this release
    Up(CommonArgs),
    /// Take back the newest migration; the first one takes all data along
    Down(DownArgs),
    /// Say which migrations are applied
    Status(CommonArgs),
}

/// What `token` does.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a signing key, and print its public half
    ///
    /// The file holds a private Ed25519 key (JWK) and is readable by its owner alone; an existing one is never
    /// overwritten. The standard output is a JWK set: put it where `keys_file` of SECA_AUTH_ISSUERS_FILE says, and
    /// let SECA_JWKS_FILE name it if others are to check the tokens, too.
    #[command(after_help = KEYGEN_EXAMPLES)]
    Keygen(KeygenArgs),
    /// Print a short-lived token and nothing else
    ///
    /// It has an id (`jti`) by which it can be revoked. The flags for places only narrow: what the subject may do
    /// there is up to its roles.
    #[command(after_help = ISSUE_EXAMPLES)]
    Issue(IssueArgs),
    /// Show header and claims of a token, and say whether it is valid
    ///
    /// Reads the token from the standard input or a file, never from an argument, which others on this machine see.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
}

/// Flags of `token keygen`.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeygenArgs {
    /// The file of the private key; it must not be there
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Flags of `token issue`.
#[derive(Clone, Debug, Args)]
pub(crate) struct IssueArgs {
    /// The file that `token keygen` made
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Who issues it: the `issuer` in SECA_AUTH_ISSUERS_FILE, to the letter
    #[arg(long, value_name = "URL")]
    pub(crate) issuer: String,
    /// Whom it is for: an `audience` in SECA_AUTH_ISSUERS_FILE
    #[arg(long, value_name = "AUDIENCE")]
    pub(crate) audience: String,
    /// Whom it stands for, as role assignments name it
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// Only for these tenants, comma-separated [default: those of the issuer]
    #[arg(long, value_name = "LIST")]
    pub(crate) tenants: Option<String>,
    /// Only for these regions, comma-separated [default: all]
    #[arg(long, value_name = "LIST")]
    pub(crate) regions: Option<String>,
    /// Only for these workspaces, comma-separated [default: all]
    #[arg(long, value_name = "LIST")]
    pub(crate) workspaces: Option<String>,
    /// How long it holds, from 1s to 24h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = token_life)]
    pub(crate) expires: Duration,
}

/// Flags of `token inspect`.
#[derive(Clone, Debug, Args)]
pub(crate) struct InspectArgs {
    /// The file that holds the token [default: the standard input]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Say whether the token is valid by this file of issuers (as SECA_AUTH_ISSUERS_FILE), and why not
    #[arg(long, value_name = "FILE")]
    pub(crate) issuers: Option<PathBuf>,
    /// What stands where a token does not belong, so that it is refused without being repeated.
    #[arg(hide = true)]
    pub(crate) misplaced: Vec<OsString>,
}

/// Flags of every command that reads settings.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct CommonArgs {
    /// The configuration file, TOML [also SECA_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// error, warn, info, debug or trace, also per module [also SECA_LOG_LEVEL]
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// text or json [also SECA_LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

/// Flags of `adopt-projects`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdoptArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Only this project, by its id [default: all that are paused]
    #[arg(long, value_name = "ID")]
    pub(crate) project: Option<String>,
    /// Go on: this database rules from now on
    #[arg(long)]
    pub(crate) yes: bool,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `migrate down`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Do it even though it takes data along
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Flags of `serve`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Where clients connect: 127.0.0.1:8080, :8080 for all interfaces, port 0 for a free one [also SECA_LISTEN_ADDR]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where operators connect [also SECA_ADMIN_LISTEN_ADDR]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// The URL under which clients reach the public listener [also SECA_PUBLIC_BASE_URL]
    #[arg(long, value_name = "URL")]
    public_base_url: Option<String>,
    /// Once ready, write the real addresses to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
}

/// Flags of `dev`.
#[derive(Clone, Debug, Args)]
pub(crate) struct DevArgs {
    /// The folder for database, simulator state, keys and tokens; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = ".dev")]
    pub(crate) dir: PathBuf,
    /// The public listener; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(crate) listen: Address,
    /// The admin listener
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = address)]
    pub(crate) admin_listen: Address,
    /// The simulator
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082", value_parser = address)]
    pub(crate) sim_listen: Address,
    /// How long simulated actions take: 0 none, 1 as long as real ones
    #[arg(long, value_name = "FACTOR", default_value_t = 0.05, value_parser = speed)]
    pub(crate) sim_speed: f64,
    /// The URL under which clients reach the public listener [default: scheme and Host of the request]
    #[arg(long, value_name = "URL")]
    pub(crate) public_base_url: Option<String>,
    /// The tenants, as in SECA_TENANTS
    #[arg(long, value_name = "LIST", default_value = "dev")]
    pub(crate) tenants: String,
    /// The regions, as in SECA_REGIONS [default: each location is one]
    #[arg(long, value_name = "LIST")]
    pub(crate) regions: Option<String>,
    /// Once ready, write addresses and token files to this file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) ready_file: Option<PathBuf>,
    /// error, warn, info, debug or trace, also per module
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub(crate) log_level: String,
    /// text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: String,
}

impl CommonArgs {
    /// The settings that are given as flags.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        vec![
            (Setting::LogLevel, "--log-level", self.log_level.clone()),
            (Setting::LogFormat, "--log-format", self.log_format.clone()),
        ]
    }
}

impl ServeArgs {
    /// The settings that are given as flags.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let mut flags = self.common.flags();
        flags.extend([
            (Setting::ListenAddr, "--listen", self.listen.clone()),
            (Setting::AdminListenAddr, "--admin-listen", self.admin_listen.clone()),
            (Setting::PublicBaseUrl, "--public-base-url", self.public_base_url.clone()),
        ]);
        flags
    }
}

/// Reads the command line; ends the process with 2 and a sentence, or with 0 after `--help`.
pub(crate) fn parse() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

/// The command line with the texts that are put together.
fn command() -> clap::Command {
    let settings = settings_help();
    Cli::command()
        .after_help(format!("{EXAMPLES}\n\n`secapi-proxy serve --help` lists the settings."))
        .mut_subcommand("serve", |serve| serve.after_long_help(settings.clone()).after_help(SEE_LONG))
        .mut_subcommand("doctor", |doctor| doctor.after_long_help(settings.clone()).after_help(SEE_LONG))
        .mut_subcommand("dev", |dev| dev.after_help(DEV_EXAMPLES))
}

/// The width of the help, whatever that of the terminal: a command that the terminal itself breaks can still be pasted, one
/// that we break cannot.
const WIDTH: usize = 100;

const SEE_LONG: &str = "`--help` lists the settings.";

const EXAMPLES: &str = "\
Examples:
  secapi-proxy dev                              # everything in one process, nothing prepared
  secapi-proxy doctor                           # are my settings good?
  secapi-proxy token keygen --out key.json      # issue tokens without an identity provider
  secapi-proxy migrate up                       # bring the database to this release
  secapi-proxy serve --config proxy.toml        # serve
  SECA_LISTEN_ADDR=:8080 secapi-proxy           # serve beyond this machine (needs SECA_AUTH_MODE)

Exit codes: 0 done or stopped by a signal, 1 failed, 2 a setting or flag is missing or wrong.";

const DEV_EXAMPLES: &str = "\
Examples:
  secapi-proxy dev                      # on 127.0.0.1:8080, 8081 (admin), 8082 (simulator)
  secapi-proxy dev --sim-speed 1        # as slow as the real cloud
  secapi-proxy dev --regions eu-central=fsn1,nbg1,hel1    # one region of three zones
  # A second one, beside the first:
  secapi-proxy dev --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \\
    --sim-listen 127.0.0.1:0 --dir /tmp/other";

const ADOPT_EXAMPLES: &str = "\
Examples:
  secapi-proxy adopt-projects                   # what would going on do?
  secapi-proxy adopt-projects --json            # the same for programs
  secapi-proxy adopt-projects --yes             # this database rules

It reads the settings of `serve`. Exit codes: 0 no project is paused (with --yes: any more), 1 a project cannot be looked at
or gone on with, 2 a setting or flag is missing or wrong, 3 projects are paused (without --yes).";

const BACKUP_EXAMPLES: &str = "\
Example:
  secapi-proxy backup /var/backups/secapi-$(date +%F).db

Exit codes: 0 the file is there, 1 it could not be made, 2 a setting or flag is missing or wrong,
3 the database is PostgreSQL's: the output is the line to run.";

const ORPHANS_EXAMPLES: &str = "\
Examples:
  export SECA_ADMIN_TOKEN_FILE=admin.token
  secapi-proxy orphans list
  secapi-proxy orphans remove PROJECT volume 4711        # what would be removed?
  secapi-proxy orphans remove PROJECT volume 4711 --yes
  secapi-proxy orphans adopt PROJECT volume 4711 --into dev/shop/data --yes

It asks the admin API (SECA_ADMIN_BASE_URL, else http://127.0.0.1:8081; SECA_CA_FILE, else Mozilla's
authorities). Exit codes: 0 there are none, or it is done or ordered, 1 it was refused or could not be asked,
2 a setting or flag is missing or wrong, 3 there are some, or nothing was done without --yes.";

const KEYGEN_EXAMPLES: &str = "\
Example:
  secapi-proxy token keygen --out key.json > jwks.json

Exit codes: 0 done, 2 the file exists or cannot be made.";

const ISSUE_EXAMPLES: &str = "\
Examples:
  secapi-proxy token issue --key key.json --issuer https://seca.example.org \\
    --audience seca --subject ada > token
  secapi-proxy token issue --key key.json --issuer https://seca.example.org \\
    --audience seca --subject ci --tenants dev --workspaces demo --expires 15m > token

Exit codes: 0 done, 2 a flag or the key file is wrong.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  secapi-proxy token inspect < token
  secapi-proxy token inspect --file token --issuers /etc/secapi-proxy/issuers.json

Exit codes: 0 done (with --issuers: it is valid), 1 it is not valid, 2 the input is no token or a file is wrong.";

const SERVE_EXAMPLE: &str = "
Example:
  SECA_DATABASE_URL=sqlite:secapi.db SECA_ADMIN_TOKEN_FILE=admin.token \\
    SECA_CREDENTIALS_KEY_FILE=credentials.key secapi-proxy serve";

/// The table of settings, for `serve --help`.
fn settings_help() -> String {
    let mut text = String::from(
        "Settings. A flag beats the environment, that beats NAME_FILE (the path of a file that holds the value), that \
         beats the configuration file (the same names without SECA_, in lower case; secrets only as name_file), that \
         beats the default.\n\n",
    );
    for setting in Setting::ALL {
        let spec = setting.spec();
        text.push_str(&format!("  {}\n      {}\n      default: {}\n", spec.names.join(", "), spec.rule, spec.default));
    }
    text.push_str(SERVE_EXAMPLE);
    text
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).ok_or_else(|| {
        "it must be ADDRESS:PORT, or :PORT for all interfaces; port 0 takes a free one, for example 127.0.0.1:8080"
            .to_owned()
    })
}

/// `TENANT/WORKSPACE/NAME`, or `TENANT/NAME`.
fn heir(text: &str) -> Result<Heir, String> {
    let parts: Vec<&str> = text.split('/').collect();
    let (tenant, workspace, name) = match parts[..] {
        [tenant, workspace, name] => (tenant, Some(workspace.to_owned()), name),
        [tenant, name] => (tenant, None, name),
        _ => {
            return Err(
                "it must be TENANT/WORKSPACE/NAME, or TENANT/NAME for an image, for example dev/shop/data".into()
            );
        }
    };
    Ok(Heir { tenant: tenant.to_owned(), workspace, name: name.to_owned(), region: None })
}

fn token_life(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_secs(1);
    const MOST: Duration = Duration::from_secs(86_400);
    let life = parse_duration(text).filter(|life| (LEAST..=MOST).contains(life));
    life.ok_or_else(|| "it must be a duration from 1s to 24h, for example 15m".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse::<f64>().ok().filter(|speed| (0.0..=10.0).contains(speed));
    speed.ok_or_else(|| "it must be a number from 0 (instant) to 10, where 1 is lifelike, for example 0.05".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn examples_can_be_pasted() {
        let all = [
            EXAMPLES,
            DEV_EXAMPLES,
            ADOPT_EXAMPLES,
            KEYGEN_EXAMPLES,
            ISSUE_EXAMPLES,
            INSPECT_EXAMPLES,
            BACKUP_EXAMPLES,
            ORPHANS_EXAMPLES,
            SERVE_EXAMPLE,
        ];
        for text in all {
            for line in text.lines().filter(|line| line.starts_with("  ")) {
                // Longer ones would be broken by us, and not where a shell goes on.
                assert!(line.len() <= WIDTH, "{line}");
                // Words behind a command would be its arguments.
                let command = line.split(" # ").next().unwrap_or_default().trim_end();
                assert!(!command.trim_start().contains("   "), "{line}");
            }
        }
        for name in ["serve", "dev", "adopt-projects", "token"] {
            let mut command = command();
            let help = command.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            for line in help.lines().filter(|line| line.trim_start().starts_with("secapi-proxy ")) {
                assert!(all.iter().any(|text| text.contains(line)), "{name} breaks an example: {line}");
            }
        }
    }

    #[test]
    fn the_help_knows_every_setting() {
        let help = settings_help();
        for setting in Setting::ALL {
            assert!(help.contains(setting.name()), "{}", setting.name());
        }
    }

    #[test]
    fn serving_needs_no_command() {
        let cli = Cli::try_parse_from(["secapi-proxy", "--listen", ":0"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.serve.listen.as_deref(), Some(":0"));
    }
}
