//! Steps as people see them: a bar that moves while one is waited for (on a terminal), a tick and a time when it is done.

use std::{fmt::Display, future::Future, io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::Instant;

/// A bar that moves, because nobody can tell how long a wait takes.
const BAR: [&str; 11] = [
    "[=         ]",
    "[==        ]",
    "[===       ]",
    "[ ===      ]",
    "[  ===     ]",
    "[   ===    ]",
    "[    ===   ]",
    "[     ===  ]",
    "[      === ]",
    "[       ===]",
    "[==========]",
];

/// What was called meanwhile.
pub(crate) struct Calls {
    /// Of the SECA API.
    pub(crate) seca: u64,
    /// Of the simulated cloud, where there is one to look into.
    pub(crate) cloud: Option<usize>,
}

/// Prints steps.
pub(crate) struct Steps {
    started: Instant,
    done: usize,
}

/// The step under way.
#[derive(Clone)]
pub(crate) struct Step {
    name: String,
    spinner: ProgressBar,
}

impl Step {
    /// Tells what is going on.
    pub(crate) fn note(&self, note: impl Display) {
        self.spinner.set_message(format!("{} ({note})", self.name));
    }
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), done: 0 }
    }

    /// Runs a step. What it returns beside the value is printed behind its name.
    pub(crate) async fn run<T, F>(&mut self, name: impl Into<String>, work: impl FnOnce(Step) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<(T, String)>>,
    {
        let name = name.into();
        let spinner = if std::io::stdout().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("  {spinner:.cyan} {msg} {elapsed}") {
            spinner.set_style(style.tick_strings(&BAR));
        }
        spinner.set_message(name.clone());
        spinner.enable_steady_tick(Duration::from_millis(100));
        let started = Instant::now();
        let result = work(Step { name: name.clone(), spinner: spinner.clone() }).await;
        spinner.finish_and_clear();
        let took = started.elapsed().as_secs_f64();
        match result {
            Ok((value, more)) => {
                self.done += 1;
                let more = if more.is_empty() { more } else { format!(": {more}") };
                println!("  \u{2713} {name}{more}  ({took:.2} s)");
                Ok(value)
            }
            Err(error) => {
                println!("  \u{2717} {name}  ({took:.2} s)");
                Err(error).context(name)
            }
        }
    }

    /// Prints a line that is no step.
    pub(crate) fn say(&self, text: impl Display) {
        println!("{text}");
    }

    /// The last line.
    pub(crate) fn finish(&self, calls: &Calls) {
        let cloud = match calls.cloud {
            Some(count) => format!(", from which the proxy made {count} calls of Hetzner Cloud"),
            None => String::new(),
        };
        let seconds = self.started.elapsed().as_secs_f64();
        println!("\n{} steps: {} calls of the SECA API{cloud}, in {seconds:.1} s. No surprise.", self.done, calls.seca);
    }
}
