//! What most commands start with: the spec, a connection, and the pipeline that follows from both.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::aws::{Clients, Connection, Credentials, Owner};
use crate::daemon;
use crate::failure::{Hint, Usage};
use crate::home::Home;
use crate::options::Global;
use crate::package::{Architecture, Code, Origin, Target};
use crate::pipeline::{Flow, Pipeline};
use crate::report::Reporter;
use crate::resources::Cx;
use crate::spec::{self, Advices, Naming, Spec};

/// The region of the embedded AWS when none is given.
const LOCAL_REGION: &str = "us-east-1";

/// The argument that names the spec.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SpecArgument {
    /// The pipeline file
    #[arg(value_name = "SPEC", default_value = "streamkit.toml")]
    pub(crate) spec: PathBuf,
}

/// What functions with a recipe run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct CodeArgument {
    /// With --local: build and run the very package that AWS would get, not the handler that is linked into streamkit
    #[arg(long, requires = "local")]
    package: bool,
}

/// A checked spec, connected.
pub(crate) struct Session {
    pub(crate) pipeline: Pipeline,
    pub(crate) aws: Arc<Clients>,
    pub(crate) cx: Cx,
    /// What is to be said of the spec although it is correct.
    pub(crate) advices: Advices,
}

impl Session {
    /// Checks the spec first, and only then connects: a bad spec never reaches AWS.
    pub(crate) async fn open(
        spec: &Path,
        code: &CodeArgument,
        global: &Global,
        reporter: &Reporter,
        start: daemon::Start,
    ) -> anyhow::Result<Self> {
        Self::open_in(spec, code, global, reporter, start, None).await
    }

    /// [`open`](Self::open) for an account that is known, so that AWS need not be asked.
    pub(crate) async fn open_in(
        spec: &Path,
        code: &CodeArgument,
        global: &Global,
        reporter: &Reporter,
        start: daemon::Start,
        account: Option<String>,
    ) -> anyhow::Result<Self> {
        let stage = checked_stage(global)?;
        let folder = spec.parent().unwrap_or(Path::new(""));
        let (spec, advices) =
            load_spec(spec, stage.as_deref(), "name a pipeline file, or make one with `streamkit init`")?;
        let naming = Naming { pipeline: spec.name.get_ref().clone(), stage };
        let aws = connect_to(global, reporter, start, account).await?;
        let home = Home::find()?;
        let codes = Mutex::new(Vec::<(Origin, Architecture, Arc<Code>)>::new());
        let linked = global.local && !code.package;
        let code = |function: &spec::Function, architecture: Architecture| {
            let target = if global.local { Target::Host } else { Target::Lambda(architecture) };
            let origin = origin(function, folder, linked);
            let mut codes = codes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, _, code)) = codes.iter().find(|(of, on, _)| *of == origin && *on == architecture) {
                return Arc::clone(code);
            }
            let code = Arc::new(Code::new(home.cache.clone(), origin.clone(), target));
            codes.push((origin, architecture, Arc::clone(&code)));
            code
        };
        let architecture = if global.local { Architecture::host() } else { None };
        let pipeline = Pipeline::build(&spec, &naming, &aws, architecture, &code);
        let cx = Cx::new(Arc::clone(&aws), owner(&naming));
        Ok(Self { pipeline, aws, cx, advices })
    }

    /// The only flow, or the one through the named function.
    pub(crate) fn flow(&self, function: Option<&str>) -> anyhow::Result<&Flow> {
        let flows = &self.pipeline.flows;
        let names = || flows.iter().map(|flow| flow.key.as_str()).collect::<Vec<_>>().join(", ");
        match (function, flows.as_slice()) {
            (None, []) => Err(Usage("this pipeline has no function, so no events flow through it".to_owned()).into()),
            (None, [flow]) => Ok(flow),
            (None, _) => {
                Err(Usage(format!("this pipeline has several functions: choose one of {} with --function", names()))
                    .into())
            }
            (Some(name), _) => flows.iter().find(|flow| flow.key == name).ok_or_else(|| {
                Usage(format!("there is no function `{name}` in this pipeline; there is {}", names())).into()
            }),
        }
    }
}

/// Where the function's program comes from.
fn origin(function: &spec::Function, folder: &Path, linked: bool) -> Origin {
    match function.code.as_ref().map(|code| folder.join(code.get_ref())) {
        None if linked => Origin::Linked,
        None => Origin::Bundled,
        Some(path) if spec::is_zip(&path) => Origin::Zip(path),
        Some(path) => Origin::Crate(path),
    }
}

/// The checked spec; `hint` says what to do when there is no such file.
pub(crate) fn load_spec(path: &Path, stage: Option<&str>, hint: &str) -> anyhow::Result<(Spec, Advices)> {
    if !path.exists() {
        return Err(Hint::usage(format!("there is no spec {}", path.display()), hint));
    }
    spec::load(path, stage)
}

/// The stage of the command line, if AWS would take it as part of a name.
pub(crate) fn checked_stage(global: &Global) -> anyhow::Result<Option<String>> {
    if let Some(stage) = &global.stage
        && let Some(why) = spec::mistake_in_name(stage)
    {
        return Err(Usage(format!("`{stage}` can't be a stage's name: {why}")).into());
    }
    Ok(global.stage.clone())
}

pub(crate) fn owner(naming: &Naming) -> Owner {
    Owner { pipeline: naming.pipeline.clone(), stage: naming.stage.clone() }
}

/// Connects to AWS, or with `--local` to the embedded one.
pub(crate) async fn connect(
    global: &Global,
    reporter: &Reporter,
    start: daemon::Start,
) -> anyhow::Result<Arc<Clients>> {
    connect_to(global, reporter, start, None).await
}

async fn connect_to(
    global: &Global,
    reporter: &Reporter,
    start: daemon::Start,
    account: Option<String>,
) -> anyhow::Result<Arc<Clients>> {
    let mut connection = Connection {
        region: global.region.clone(),
        profile: global.profile.clone(),
        endpoint: global.endpoint_url.clone(),
        credentials: Credentials::Chain,
        account,
    };
    if let Some(endpoint) = &global.endpoint_url
        && !(endpoint.starts_with("http://") || endpoint.starts_with("https://"))
    {
        return Err(
            Usage(format!("`{endpoint}` is not an endpoint: write something like http://127.0.0.1:5000")).into()
        );
    }
    if global.local {
        let home = Home::find()?;
        let running = daemon::find_or_start(&home, start, reporter).await?;
        connection.endpoint = Some(running.endpoint);
        connection.region.get_or_insert_with(|| running.region.unwrap_or_else(|| LOCAL_REGION.to_owned()));
        if global.profile.is_none() {
            connection.credentials = Credentials::Local;
        }
    }
    Ok(Arc::new(Clients::connect(&connection).await?))
}
