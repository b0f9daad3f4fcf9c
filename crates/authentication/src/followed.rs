//! A file whose content counts as it is now: read again when it changed.
//!
//! It is looked at when its content is asked for and at most once a second, so that nothing runs in the background,
//! nothing is to be stopped, and a token that was withdrawn ends within that second. A notifier (inotify) would miss
//! what a mounted volume swaps in.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use control_plane::service::Caller;
use http::HeaderMap;
use settings::changes::{LastRead, Look, Stamp};
use tokio::time::Instant;

use super::{AuthError, Authenticator};

/// How long a look holds.
const INTERVAL: Duration = Duration::from_secs(1);

/// A file's content, read anew when the file changes. A new content that breaks a rule is reported in the log, and the
/// former one goes on.
pub struct Followed<T> {
    path: PathBuf,
    read: Read<T>,
    content: ArcSwap<T>,
    schedule: Mutex<Schedule>,
}

/// Reads the content, or says what is wrong with it.
type Read<T> = Box<dyn Fn(&Path) -> Result<T, String> + Send + Sync>;

struct Schedule {
    due: Instant,
    file: LastRead<Option<Stamp>>,
}

impl<T> Followed<T> {
    /// Reads the file, and from then on follows it.
    ///
    /// # Errors
    /// What `read` says of the first content.
    pub fn open<E: fmt::Display + 'static>(
        path: &Path,
        read: impl Fn(&Path) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let file = LastRead::new(Stamp::of(path));
        let content = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            read: Box::new(move |path| read(path).map_err(|error| error.to_string())),
            content: ArcSwap::from_pointee(content),
            schedule: Mutex::new(Schedule { due: Instant::now() + INTERVAL, file }),
        })
    }

    /// The content.
    pub fn current(&self) -> Arc<T> {
        self.look();
        self.content.load_full()
    }

    /// Reads the file again if it is time and it changed. Whoever comes while another looks takes what there is.
    /// Blocking: a `stat` once a second, and the read of a small file when it changed.
    fn look(&self) {
        let Ok(mut schedule) = self.schedule.try_lock() else { return };
        if Instant::now() < schedule.due {
            return;
        }
        schedule.due = Instant::now() + INTERVAL;
        match schedule.file.look(Stamp::of(&self.path), || (self.read)(&self.path)) {
            Look::Unchanged => {}
            Look::Taken(content) => {
                self.content.store(Arc::new(content));
                tracing::info!(path = %self.path.display(), "the changed file counts from now on");
            }
            Look::Kept(error) => tracing::error!(%error, "the changed file is not used, its former content goes on"),
        }
    }
}

#[async_trait]
impl<T: Authenticator> Authenticator for Followed<T> {
    async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        self.current().authenticate(headers).await
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use tokio::time::advance;

    use super::*;
    use settings::files::open_regular;

    fn number(path: &Path) -> Result<u32, String> {
        let mut text = String::new();
        let file = open_regular(path).and_then(|mut file| file.read_to_string(&mut text));
        file.map_err(|error| error.to_string())?;
        text.parse().map_err(|_| format!("{text:?} is no number"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_when_it_changed_and_looked_at_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("number");
        assert!(Followed::open(&path, number).is_err(), "it must be there at first");
        fs::write(&path, "1").unwrap();
        let followed = Followed::open(&path, number).unwrap();
        fs::write(&path, "2").unwrap();
        assert_eq!(*followed.current(), 1, "looked at a moment ago");
        advance(INTERVAL).await;
        assert_eq!(*followed.current(), 2);

        for broken in [Some("two"), None] {
            match broken {
                Some(text) => fs::write(&path, text).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            advance(INTERVAL).await;
            assert_eq!(*followed.current(), 2, "a broken file keeps the former content: {broken:?}");
        }
        // A pipe in its place is not waited for.
        assert!(std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success());
        advance(INTERVAL).await;
        let (tell, told) = std::sync::mpsc::channel();
        let followed = Arc::new(followed);
        let asked = Arc::clone(&followed);
        let runtime = tokio::runtime::Handle::current();
        std::thread::spawn(move || {
            // Its clock is the test's.
            let _inside = runtime.enter();
            tell.send(*asked.current())
        });
        assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(2), "asked while a pipe is there");
        // Put in its place in one step, as editors and mounted volumes do.
        fs::write(folder.path().join("new"), "3").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        advance(INTERVAL).await;
        assert_eq!(*followed.current(), 3);
    }
}
