//! The loop: list what is unbound, bind it, look again.
//!
//! It remembers failures only to space its tries; a restart forgets them and loses nothing, since the list says
//! what is left to do.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http_support::Backoff;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    admin::{Admin, AdminError, Unbound},
    settings::Settings,
};

/// The longest pause between two tries of one workspace, or of the list.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Draws a number in `0.0..1.0`.
pub type Jitter = Box<dyn Fn() -> f64 + Send + Sync>;

/// Binds workspaces that wait for a token.
pub struct Provisioner<A> {
    admin: A,
    settings: Settings,
    jitter: Jitter,
    failures: BTreeMap<Unbound, Failure>,
    /// Those that the pool has no token for; it is said once of each.
    unmatched: BTreeSet<Unbound>,
    list_failures: u32,
}

/// How often a workspace could not be bound, and when to try again.
struct Failure {
    times: u32,
    next: Instant,
}

impl<A: Admin> Provisioner<A> {
    /// A provisioner for an admin API.
    pub fn new(admin: A, settings: Settings, jitter: Jitter) -> Self {
        Self { admin, settings, jitter, failures: BTreeMap::new(), unmatched: BTreeSet::new(), list_failures: 0 }
    }

    /// Works until cancelled. A call under way is finished first, so that no binding is left half told.
    pub async fn run(mut self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let pause = self.pass(&cancel).await;
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// One look at the list; how long to wait before the next.
    async fn pass(&mut self, cancel: &CancellationToken) -> Duration {
        let unbound = match self.admin.unbound().await {
            Ok(unbound) => unbound,
            Err(error) => {
                self.list_failures += 1;
                let pause = self.pause(self.list_failures);
                warn!(%error, retry_ms = millis(pause), "unbound workspaces could not be listed");
                return pause;
            }
        };
        if self.list_failures > 0 {
            info!(failures = self.list_failures, "the admin API answers again");
            self.list_failures = 0;
        }
        self.failures.retain(|workspace, _| unbound.contains(workspace));
        self.unmatched.retain(|workspace| unbound.contains(workspace));
        for workspace in unbound {
            if cancel.is_cancelled() {
                break;
            }
            self.visit(workspace).await;
        }
        self.settings.interval
    }

    async fn visit(&mut self, workspace: Unbound) {
        if self.settings.tenants.as_ref().is_some_and(|tenants| !tenants.contains(&workspace.tenant)) {
            return;
        }
        let failed = self.failures.get(&workspace);
        if failed.is_some_and(|failure| failure.next > Instant::now()) {
            return;
        }
        let times = failed.map_or(0, |failure| failure.times) + 1;
        let (tenant, region, name) = (&workspace.tenant, &workspace.region, &workspace.workspace);
        let bound = match self.settings.tokens.find(&workspace) {
            Ok(Some(credential)) => self.admin.bind(&workspace, credential, &self.settings).await,
            Ok(None) => {
                if !self.unmatched.contains(&workspace) {
                    warn!(
                        seca.tenant = %tenant, seca.region = %region, seca.workspace = %name,
                        "no token of the pool is for this workspace; it stays unbound"
                    );
                    self.unmatched.insert(workspace);
                }
                return;
            }
            Err(error) => Err(AdminError::Failed(error.to_string())),
        };
        match bound {
            Ok(()) => {
                info!(seca.tenant = %tenant, seca.region = %region, seca.workspace = %name, "workspace bound");
                self.failures.remove(&workspace);
            }
            Err(AdminError::Gone) => {
                info!(seca.tenant = %tenant, seca.workspace = %name, "workspace went before it was bound");
                self.failures.remove(&workspace);
            }
            Err(error) => {
                let pause = self.pause(times);
                warn!(
                    seca.tenant = %tenant, seca.region = %region, seca.workspace = %name,
                    %error, tries = times, retry_ms = millis(pause), "workspace could not be bound"
                );
                self.failures.insert(workspace, Failure { times, next: Instant::now() + pause });
            }
        }
    }

    /// The interval, doubled with every failure, up to a minute; drawn from its upper half.
    fn pause(&self, failures: u32) -> Duration {
        let interval = self.settings.interval;
        let pauses = Backoff { first: interval, longest: LONGEST_PAUSE.max(interval) };
        pauses.bound(failures.saturating_add(1)).mul_f64(0.5 + (self.jitter)().clamp(0.0, 1.0) / 2.0)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{Arc, Mutex},
    };

    use tokio::sync::Notify;

    use super::*;
    use crate::tokens::{Credential, Tokens};

    /// An admin API of two rules: what `refused` names is not bound, what is bound leaves the list.
    #[derive(Clone, Default)]
    struct Fake(Arc<State>);

    #[derive(Default)]
    struct State {
        unbound: Mutex<BTreeSet<Unbound>>,
        refused: Mutex<BTreeSet<String>>,
        list_fails: Mutex<u32>,
        calls: Mutex<Vec<(Instant, String)>>,
        changed: Notify,
    }

    impl Fake {
        fn with(names: &[(&str, &str)]) -> Self {
            let fake = Self::default();
            *fake.0.unbound.lock().unwrap() = names.iter().map(|(t, w)| unbound(t, w)).collect();
            fake
        }

        fn calls(&self) -> Vec<(Instant, String)> {
            self.0.calls.lock().unwrap().clone()
        }

        async fn until(&self, is_so: impl Fn(&Self) -> bool) {
            while !is_so(self) {
                self.0.changed.notified().await;
            }
        }
    }

    impl Admin for Fake {
        async fn unbound(&self) -> Result<Vec<Unbound>, AdminError> {
            self.0.changed.notify_one();
            let mut fails = self.0.list_fails.lock().unwrap();
            if *fails > 0 {
                *fails -= 1;
                self.0.calls.lock().unwrap().push((Instant::now(), "list".into()));
                return Err(AdminError::Failed("connection refused".into()));
            }
            Ok(self.0.unbound.lock().unwrap().iter().cloned().collect())
        }

        async fn bind(&self, workspace: &Unbound, _: Credential, _: &Settings) -> Result<(), AdminError> {
            self.0.calls.lock().unwrap().push((Instant::now(), workspace.workspace.clone()));
            self.0.changed.notify_one();
            if self.0.refused.lock().unwrap().contains(&workspace.workspace) {
                return Err(AdminError::Failed("this token is read-only".into()));
            }
            self.0.unbound.lock().unwrap().remove(workspace);
            Ok(())
        }
    }

    fn unbound(tenant: &str, workspace: &str) -> Unbound {
        Unbound { tenant: tenant.into(), region: "fsn1".into(), workspace: workspace.into() }
    }

    fn settings(tenants: Option<&[&str]>) -> Settings {
        Settings {
            tokens: Tokens::One("hetzner".into()),
            tenants: tenants.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
            interval: Duration::from_secs(1),
            endpoint: None,
            project_ref: None,
        }
    }

    async fn run_until(fake: &Fake, tenants: Option<&[&str]>, is_so: impl Fn(&Fake) -> bool) {
        let cancel = CancellationToken::new();
        let task = Provisioner::new(fake.clone(), settings(tenants), Box::new(|| 1.0)).run(cancel.clone());
        let task = tokio::spawn(task);
        fake.until(is_so).await;
        cancel.cancel();
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn everything_unbound_is_bound_once() {
        let fake = Fake::with(&[("dev", "a"), ("prod", "b")]);
        run_until(&fake, None, |f| f.0.unbound.lock().unwrap().is_empty()).await;
        let names: Vec<String> = fake.calls().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_of_tenants_leaves_the_others_alone() {
        let fake = Fake::with(&[("dev", "a"), ("prod", "b")]);
        run_until(&fake, Some(&["prod"]), |f| f.0.unbound.lock().unwrap().len() == 1).await;
        assert_eq!(fake.calls().len(), 1);
        assert!(fake.0.unbound.lock().unwrap().contains(&unbound("dev", "a")));
    }

    #[tokio::test(start_paused = true)]
    async fn one_refused_workspace_neither_stops_the_others_nor_is_hammered() {
        let fake = Fake::with(&[("dev", "a"), ("dev", "bad"), ("dev", "z")]);
        fake.0.refused.lock().unwrap().insert("bad".into());
        let tries =
            |f: &Fake| f.calls().iter().filter(|(_, name)| name == "bad").map(|(at, _)| *at).collect::<Vec<_>>();
        run_until(&fake, None, |f| tries(f).len() == 4).await;
        assert!(fake.calls().iter().any(|(_, name)| name == "z"));
        let pauses: Vec<u64> = tries(&fake).windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_admin_api_that_is_away_is_waited_for() {
        let fake = Fake::with(&[("dev", "a")]);
        *fake.0.list_fails.lock().unwrap() = 3;
        run_until(&fake, None, |f| f.0.unbound.lock().unwrap().is_empty()).await;
        let times: Vec<Instant> = fake.calls().into_iter().map(|(at, _)| at).collect();
        let pauses: Vec<u64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_never_exceeds_a_minute_and_never_half_of_itself() {
        for (jitter, want) in [(0.0, 30), (1.0, 60)] {
            let provisioner = Provisioner::new(Fake::default(), settings(None), Box::new(move || jitter));
            assert_eq!(provisioner.pause(40), Duration::from_secs(want));
        }
    }
}
