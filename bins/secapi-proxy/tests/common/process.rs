//! A process that ends with the test, its output kept and shown when the test fails.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use super::until;

pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts a command whose output goes to files in `folder`, named after `name`.
    pub fn start(name: &str, folder: &Path, command: &mut Command) -> Self {
        let file = |suffix: &str| {
            let path = folder.join(format!("{name}.{suffix}"));
            let file = File::options().create(true).append(true).open(&path).unwrap();
            (path, file)
        };
        let ((stdout, out), (stderr, err)) = (file("stdout"), file("stderr"));
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { name: name.to_owned(), child, stdout, stderr }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it, and its predecessors of this name and folder, wrote.
    pub fn output(&self) -> String {
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        format!("{}{}", read(&self.stdout), read(&self.stderr))
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(&self.stdout).unwrap_or_default()
    }

    /// SIGKILL: it gets no chance to do anything more.
    pub fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// A signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(sent.success(), "{} does not run any more", self.name);
    }

    /// Whether it ended, and how.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end; the exit code.
    pub async fn wait(&mut self, limit: Duration) -> Option<i32> {
        let what = format!("the end of {}", self.name);
        until(&what, limit, || std::future::ready(self.ended())).await.code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<_> = output.lines().collect();
            let tail = &lines[lines.len().saturating_sub(120)..];
            eprintln!("--- the last of {}:\n{}\n---", self.name, tail.join("\n"));
        }
    }
}
