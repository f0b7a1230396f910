//! The Lambda engine: functions that run as processes, the Runtime API that they speak, and event source mappings.

mod asynchronous;
mod code;
mod destination;
mod emf;
mod error;
mod function;
mod functions;
mod invoke;
mod invoke_api;
mod logs;
mod mapping;
mod metrics;
mod names;
mod output;
mod page;
mod permissions;
mod pool;
mod process;
mod report;
mod routes;
mod runtime_api;
mod settings;
mod trace;
mod versions;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use routes::operation_name;

use crate::backplane::Backplane;
use code::{Code, CodeStore};
use function::Function;
use logs::Logs;
use mapping::Mapping;
use metrics::Metrics;
use names::Place;
use page::Query;

/// Asynchronous invocations that run at the same time; the others wait.
const ASYNCHRONOUS: usize = 10;

/// AWS Lambda, in this process.
pub struct Engine {
    backplane: Backplane,
    place: Place,
    code: Arc<CodeStore>,
    functions: Mutex<BTreeMap<String, Arc<Function>>>,
    mappings: Mutex<BTreeMap<String, Arc<Mapping>>>,
    logs: Arc<Logs>,
    metrics: Arc<Metrics>,
    asynchronous: Semaphore,
    /// Ends pollers and processes.
    stop: CancellationToken,
    /// Ends the writers of logs and metrics, after the last line and value.
    stop_writers: CancellationToken,
    tasks: TaskTracker,
    reaping: AtomicBool,
}

impl Engine {
    /// An engine without functions; their code will be unpacked under `state_dir`.
    pub fn new(backplane: Backplane, state_dir: PathBuf) -> Arc<Self> {
        let stop_writers = CancellationToken::new();
        Arc::new(Self {
            place: Place { region: backplane.region().to_owned(), account: backplane.account().to_owned() },
            code: Arc::new(CodeStore::new(state_dir)),
            functions: Mutex::default(),
            mappings: Mutex::default(),
            logs: Logs::new(backplane.clone(), stop_writers.clone()),
            metrics: Metrics::new(backplane.clone(), stop_writers.clone()),
            asynchronous: Semaphore::new(ASYNCHRONOUS),
            stop: CancellationToken::new(),
            stop_writers,
            tasks: TaskTracker::new(),
            reaping: AtomicBool::new(false),
            backplane,
        })
    }

    /// Stops all pollers, kills all processes, and waits until they are gone.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.functions().values().for_each(|function| function.pool.clear());
        self.tasks.close();
        self.tasks.wait().await;
        self.logs.flush().await;
        self.metrics.flush().await;
        self.stop_writers.cancel();
        // Pollers and asynchronous invocations have ended: nothing starts a process again, and the code can go.
        self.functions().clear();
    }

    /// The URL that a package can be fetched from.
    fn code_url(&self, code: &Code) -> String {
        format!("{}{}code/{}", self.backplane.endpoint(), crate::control::PREFIX, code.id)
    }

    /// The package at the end of such a URL; `None` when no function uses it any more.
    pub(crate) async fn package(&self, id: &str) -> Option<Vec<u8>> {
        let code = self.code.find(id)?;
        tokio::fs::read(&code.zip).await.ok()
    }

    /// Starts to look after idle processes, once there are any.
    fn reap_later(self: &Arc<Self>) {
        if self.reaping.swap(true, Ordering::Relaxed) {
            return;
        }
        let engine = Arc::clone(self);
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            while stop.run_until_cancelled(tokio::time::sleep(pool::IDLE / 10)).await.is_some() {
                let functions: Vec<_> = engine.functions().values().cloned().collect();
                for function in functions {
                    function.pool.reap(pool::IDLE);
                }
            }
        });
    }
}
