//! A private PostgreSQL for tests: one cluster per process, a fresh database per call.
//!
//! The cluster is started from the binaries that are installed, in a temporary directory. A small shell holds it
//! and waits until its standard input closes, which happens however this process ends; then it stops the
//! cluster and removes the directory. As root it runs as `postgres` or `nobody`, since PostgreSQL refuses root.

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, postgres::PgConnectOptions};
use tokio::{sync::OnceCell, time::Instant};

/// How a database finds what a statement asks for.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The plan, a line each. PostgreSQL has carried it out, and tells the rows and buffers of each part.
    pub plan: Vec<String>,
    /// What it costs to carry out. PostgreSQL: how many rows it read from the tables; for a statement that stays
    /// prepared, by the plan that is made once for all values. SQLite: how many instructions of its machine it ran.
    pub cost: u64,
}

/// Why there is no PostgreSQL to test with.
#[derive(Debug, thiserror::Error)]
pub enum TestingError {
    /// It is not installed.
    #[error("no PostgreSQL server is installed, and these tests need one; install it: apt-get install postgresql")]
    NotInstalled,
    /// It does not start.
    #[error("the private PostgreSQL does not start: {0}")]
    Start(String),
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    port: u16,
    directory: PathBuf,
    /// A line names the signal to end the server with before it is started again; closing it ends the cluster.
    lifeline: ChildStdin,
}

/// How a server ends before it is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its sessions are cut, and it puts its data in order: what a restart does.
    Fast,
    /// At once, and it recovers from its log at the start: what a crash does. A commit that was confirmed while
    /// `synchronous_commit` was off may be lost, as the clusters of tests have it; see [`postgres_durable`].
    Crash,
}

/// Makes an empty database in this process's cluster, and starts the cluster when there is none yet. The URL is
/// good for [`crate::connect`].
///
/// # Errors
/// When PostgreSQL is not installed or does not start. Tests must fail then, not pass.
pub async fn postgres_url() -> Result<String, TestingError> {
    let cluster = CLUSTER.get_or_try_init(Cluster::start).await?;
    let name = format!("test_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let start = |error: sqlx::Error| TestingError::Start(error.to_string());
    let mut connection = connect(cluster.port).await.map_err(start)?;
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.map_err(start)?;
    Ok(format!("postgres://postgres@127.0.0.1:{}/{name}", cluster.port))
}

/// What the cluster has logged so far: for a database with `log_statement = 'all'`, each statement before it is
/// carried out.
///
/// # Errors
/// As for [`postgres_url`].
pub async fn postgres_log() -> Result<String, TestingError> {
    let cluster = CLUSTER.get_or_try_init(Cluster::start).await?;
    let log = fs::read(cluster.directory.join("log")).map_err(|error| TestingError::Start(error.to_string()))?;
    Ok(String::from_utf8_lossy(&log).into_owned())
}

/// Makes a database of this process's cluster keep what it confirmed over [`Ending::Crash`], from its next sessions on.
///
/// # Errors
/// As for [`postgres_url`].
pub async fn postgres_durable(url: &str) -> Result<(), TestingError> {
    let cluster = CLUSTER.get_or_try_init(Cluster::start).await?;
    let name = url.rsplit('/').next().unwrap_or_default();
    let start = |error: sqlx::Error| TestingError::Start(error.to_string());
    let mut connection = connect(cluster.port).await.map_err(start)?;
    let statement = format!("ALTER DATABASE {name} SET synchronous_commit = on");
    connection.execute(AssertSqlSafe(statement)).await.map(drop).map_err(start)
}

/// Ends the server of this process's cluster and starts it again on the same data and port; returns when it answers.
///
/// # Errors
/// As for [`postgres_url`].
pub async fn postgres_restart(ending: Ending) -> Result<(), TestingError> {
    let cluster = CLUSTER.get_or_try_init(Cluster::start).await?;
    let signal = match ending {
        Ending::Fast => "INT",
        Ending::Crash => "QUIT",
    };
    let before = started_at(cluster.port).await.map_err(TestingError::Start)?;
    let start = |error: std::io::Error| TestingError::Start(error.to_string());
    (&cluster.lifeline).write_all(format!("{signal}\n").as_bytes()).map_err(start)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match started_at(cluster.port).await {
            Ok(now) if now != before => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(TestingError::Start(error)),
            _ if Instant::now() > deadline => return Err(TestingError::Start("it did not end".to_owned())),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// When the server began, by its own word: tells one run from the next.
async fn started_at(port: u16) -> Result<String, String> {
    let mut connection = connect(port).await.map_err(text)?;
    let query = "SELECT pg_postmaster_start_time()::text";
    sqlx::query_scalar(query).fetch_one(&mut connection).await.map_err(text)
}

async fn connect(port: u16) -> Result<sqlx::PgConnection, sqlx::Error> {
    let options = PgConnectOptions::new_without_pgpass().host("127.0.0.1").port(port).username("postgres");
    options.database("postgres").connect().await
}

impl Cluster {
    async fn start() -> Result<Self, TestingError> {
        let bin = find_binaries().ok_or(TestingError::NotInstalled)?;
        let mut problem = String::new();
        // A free port may be taken before the server has it.
        for _ in 0..5 {
            match Self::try_start(&bin).await {
                Ok(cluster) => return Ok(cluster),
                Err(error) => problem = error,
            }
        }
        Err(TestingError::Start(problem))
    }

    async fn try_start(bin: &Path) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("secapi-postgres-").tempdir().map_err(text)?;
        let account = account(directory.path())?;
        initialize(bin, directory.path(), account)?;
        let port = free_port().map_err(text)?;
        let mut keeper = keep(bin, directory.path(), port, account).map_err(text)?;
        let lifeline = keeper.stdin.take().ok_or("the keeper has no standard input")?;
        // From here on the keeper removes it.
        let directory = directory.keep();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match connect(port).await {
                Ok(_) => return Ok(Self { port, directory, lifeline }),
                Err(error) => {
                    let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                    if Instant::now() > deadline || log.contains("could not create any TCP/IP sockets") {
                        return Err(format!("{error}; its log: {log}"));
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The user and group to run as, when this process is root; the directory is given to them.
fn account(directory: &Path) -> Result<Option<(u32, u32)>, String> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(text)?;
    if fs::metadata(directory).map_err(text)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd").map_err(text)?;
    let find = |name: &str| {
        users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| match fields[..] {
            [user, _, uid, gid, ..] if user == name => Some((uid.parse().ok()?, gid.parse().ok()?)),
            _ => None,
        })
    };
    let (uid, gid) = find("postgres")
        .or_else(|| find("nobody"))
        .ok_or("PostgreSQL refuses root, and there is neither a user postgres nor nobody to run it as")?;
    chown(directory, Some(uid), Some(gid)).map_err(text)?;
    Ok(Some((uid, gid)))
}

fn command(program: &Path, directory: &Path, account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C");
    if let Some((uid, gid)) = account {
        command.uid(uid).gid(gid);
    }
    command
}

fn initialize(bin: &Path, directory: &Path, account: Option<(u32, u32)>) -> Result<(), String> {
    let mut initdb = command(&bin.join("initdb"), directory, account);
    initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
    let output = initdb.arg(directory.join("data")).output().map_err(text)?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Starts the server under a shell that ends it. In a process group of its own, so that an interrupt from the
/// keyboard ends the tests and lets the shell clean up behind them.
fn keep(bin: &Path, directory: &Path, port: u16, account: Option<(u32, u32)>) -> std::io::Result<Child> {
    const KEEPER: &str = r#"
        serve() {
            "$1/postgres" -D "$2/data" -k "$2" -h 127.0.0.1 -p "$3" \
                -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=200 >>"$2/log" 2>&1 &
            server=$!
        }
        serve "$@"
        while read -r signal; do
            kill -"$signal" "$server"
            wait "$server"
            serve "$@"
        done
        kill -QUIT "$server" 2>/dev/null
        wait "$server" 2>/dev/null
        cd / && rm -rf "$2"
    "#;
    let mut shell = command(Path::new("/bin/sh"), directory, account);
    shell.arg("-c").arg(KEEPER).arg("sh").arg(bin).arg(directory).arg(port.to_string());
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0).spawn()
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The directory with `initdb` and `postgres`: from PATH, from `pg_config`, or where distributions put it.
fn find_binaries() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.and_then(|output| String::from_utf8(output.stdout).ok());
    let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    installed.sort();
    let candidates = on_path.into_iter().chain(configured.map(|text| PathBuf::from(text.trim())));
    let candidates = candidates.chain(installed.into_iter().rev()).chain([PathBuf::from("/usr/local/pgsql/bin")]);
    candidates.into_iter().find(|bin| bin.join("initdb").is_file() && bin.join("postgres").is_file())
}
