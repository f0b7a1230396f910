//! What most commands start with: the spec, a connection, and the pipeline that follows from both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use streamkit_recipes::{Recipe, SourceKind};

use super::origin::Origins;
use crate::aws::{Clients, Connection, Credentials, Owner};
use crate::daemon;
use crate::failure::{Hint, Usage};
use crate::home::Home;
use crate::lock::locked;
use crate::options::Global;
use crate::package::{Architecture, Code, Origin, Target};
use crate::picture::{Drawing, drawing};
use crate::pipeline::{Flow, Parts, Pipeline};
use crate::plan::{Place, Plan};
use crate::report::Reporter;
use crate::resources::{Any, Cx};
use crate::spec::{self, Advices, Loaded, Naming, Pins, Spanned, Spec, StageChoice};

/// The region of the embedded AWS when none is given.
const LOCAL_REGION: &str = "us-east-1";
/// The region where it does not matter: the first of these that the spec does not name as another one.
const ANY_REGION: [&str; 4] = [LOCAL_REGION, "us-west-2", "eu-central-1", "ap-northeast-1"];
/// The account where it does not matter.
pub(super) const NO_ACCOUNT: &str = "000000000000";

/// What to do where there is no spec.
pub(super) const NAME_A_SPEC: &str = "name a pipeline file, or make one with `streamkit init`";

/// The spec where none is named.
pub(super) const SPEC: &str = "streamkit.toml";

/// The argument that names the spec.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SpecArgument {
    /// The pipeline file [default: streamkit.toml]
    #[arg(value_name = "SPEC")]
    pub(crate) spec: Option<PathBuf>,
}

impl SpecArgument {
    pub(crate) fn path(&self) -> PathBuf {
        self.spec.clone().unwrap_or_else(|| SPEC.into())
    }
}

/// Which of the pipeline's regions is meant.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct RegionArgument {
    /// What the pipeline has in this region, which its functions or streams name, instead of in its own
    #[arg(long = "in", value_name = "REGION")]
    named: Option<String>,
}

impl RegionArgument {
    /// The session there.
    ///
    /// # Errors
    /// Nothing of the pipeline is in that region, but perhaps replicas.
    pub(crate) fn choose(&self, mut session: Session) -> anyhow::Result<Session> {
        let Some(region) = self.named.as_ref().filter(|region| **region != session.aws.region) else {
            return Ok(session);
        };
        let regions: Vec<_> = session.everywhere().map(|(_, session)| session.aws.region.clone()).collect();
        match session.elsewhere.iter().position(|session| session.aws.region == *region) {
            Some(place) => Ok(session.elsewhere.swap_remove(place)),
            None => Err(Hint::usage(
                format!("no function or stream of this pipeline is in {region}"),
                format!("--in takes {}", regions.join(" or ")),
            )),
        }
    }
}

/// What functions run.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct CodeArgument {
    /// Take the code from this zip file, which `streamkit package` wrote. Without a file, and with --local: build and run the
    /// very package that AWS would get, not the handler that is linked into streamkit
    #[arg(
        long,
        value_name = "FILE.zip",
        num_args = 0..=1,
        default_missing_value = "",
        value_parser = OsStringValueParser::new().map(PackageValue::from)
    )]
    package: Option<PackageValue>,
    /// The clone of streamkit whose handler is built for functions with a recipe: `dev` follows its sources.
    #[arg(skip)]
    clone: Option<PathBuf>,
}

impl CodeArgument {
    /// The code of functions with a recipe, built from this clone of streamkit; linked without one.
    pub(super) fn of_clone(clone: Option<PathBuf>) -> Self {
        Self { package: None, clone }
    }
}

/// What follows `--package`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PackageValue {
    Nothing,
    File(PathBuf),
}

impl From<OsString> for PackageValue {
    fn from(value: OsString) -> Self {
        if value.is_empty() { Self::Nothing } else { Self::File(value.into()) }
    }
}

/// Where functions get their code from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Packaging {
    /// What fits: the linked handler with `--local`, else a package that is built when it is to be uploaded.
    #[default]
    Fitting,
    /// A package that is built, with `--local` too.
    Built,
    /// The zip file that is there.
    File(PathBuf),
    /// What the sources in this clone of streamkit are compiled to.
    Clone(PathBuf),
}

/// A spec, and where its functions get their code from.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) spec: PathBuf,
    pub(crate) packaging: Packaging,
}

impl Input {
    /// The spec, with code as fits.
    pub(crate) fn spec(spec: &SpecArgument) -> Self {
        Self { spec: spec.path(), packaging: Packaging::Fitting }
    }

    /// What the arguments say. A value of `--package` that does not end in `.zip` is the spec, as in
    /// `--local --package retail.toml`.
    ///
    /// # Errors
    /// `--package` without a file and without `--local`.
    pub(crate) fn new(spec: &SpecArgument, code: &CodeArgument, global: &Global) -> anyhow::Result<Self> {
        let input = match &code.package {
            None => {
                let packaging = code.clone.clone().map_or(Packaging::Fitting, Packaging::Clone);
                return Ok(Self { spec: spec.path(), packaging });
            }
            Some(PackageValue::File(file)) if spec::is_zip(file) => {
                Self { spec: spec.path(), packaging: Packaging::File(file.clone()) }
            }
            Some(PackageValue::File(file)) if spec.spec.is_some() => {
                return Err(Hint::usage(
                    format!("`--package {}` names no zip file", file.display()),
                    "name a file that `streamkit package --output FILE.zip` wrote",
                ));
            }
            Some(PackageValue::File(file)) => Self { spec: file.clone(), packaging: Packaging::Built },
            Some(PackageValue::Nothing) => Self { spec: spec.path(), packaging: Packaging::Built },
        };
        if input.packaging == Packaging::Built && !global.local {
            return Err(Hint::usage(
                "`--package` without a zip file is for --local: AWS always gets the package that is built",
                "name the zip file, as in `--package FILE.zip`, or leave it out",
            ));
        }
        Ok(input)
    }
}

/// How to learn of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Whose {
    /// STS is asked whose the credentials are.
    Asked,
    /// The caller knows it.
    Known(String),
    /// It does not matter, and neither does the region: nothing is asked of AWS, and no credentials are looked for.
    Any,
}

/// A checked spec, connected.
pub(crate) struct Session {
    pub(crate) pipeline: Pipeline,
    pub(crate) aws: Arc<Clients>,
    pub(crate) cx: Cx,
    /// What is to be said of the spec although it is correct.
    pub(crate) advices: Advices,
    /// What functions of the pipeline have in other regions, as a session there.
    pub(crate) elsewhere: Vec<Session>,
}

impl Session {
    /// Checks the spec first, and only then connects: a bad spec never reaches AWS.
    pub(crate) async fn open(
        input: &Input,
        global: &Global,
        reporter: &Reporter,
        start: daemon::Start,
    ) -> anyhow::Result<Self> {
        Self::open_in(input, global, reporter, start, Whose::Asked).await
    }

    /// [`open`](Self::open) where AWS need not be asked for the account.
    pub(crate) async fn open_in(
        input: &Input,
        global: &Global,
        reporter: &Reporter,
        start: daemon::Start,
        whose: Whose,
    ) -> anyhow::Result<Self> {
        let stage = checked_stage(global)?;
        let folder = input.spec.parent().unwrap_or(Path::new(""));
        let choice = StageChoice { name: stage.as_deref(), required: true };
        let Loaded { spec, advices, pins, secrets } = load_spec(&input.spec, choice, NAME_A_SPEC)?;
        let origins = Origins::new(&spec, folder, &input.packaging, global.local)?;
        let naming = Naming { pipeline: spec.name.get_ref().clone(), stage };
        let aws = match whose {
            Whose::Asked => connect_to(global, reporter, start, None).await?,
            Whose::Known(account) => connect_to(global, reporter, start, Some(account)).await?,
            Whose::Any => unconnected(global, pins.as_ref(), &spec).await?,
        };
        pins.map_or(Ok(()), |pins| pins.check(&aws.account, &aws.region))?;
        check_regions(&spec, &aws.region)?;
        let home = Home::find()?;
        let codes = Mutex::new(Vec::<(Origin, Architecture, Arc<Code>)>::new());
        let code = |function: &spec::Function, architecture: Architecture| {
            let target = if global.local { Target::Host } else { Target::Lambda(architecture) };
            let origin = origins.of(function);
            let mut codes = locked(&codes);
            if let Some((_, _, code)) = codes.iter().find(|(of, on, _)| *of == origin && *on == architecture) {
                return Arc::clone(code);
            }
            let code = Arc::new(Code::new(home.cache.clone(), origin.clone(), target));
            codes.push((origin, architecture, Arc::clone(&code)));
            code
        };
        let architecture = if global.local { Architecture::host() } else { None };
        let parts = Parts { spec: &spec, naming: &naming, aws: &aws, architecture, code: &code };
        let mut pipeline = Pipeline::build(&parts);
        pipeline.secrets = secrets;
        let cx = Cx::new(Arc::clone(&aws), owner(&naming));
        let elsewhere = parts.regions().into_iter().map(|region| Self {
            pipeline: Pipeline::build_in(&parts, region),
            aws: aws.in_region(region),
            cx: cx.in_region(region).being_guest(),
            advices: Advices::default(),
            elsewhere: Vec::new(),
        });
        let elsewhere = elsewhere.collect();
        Ok(Self { pipeline, aws, cx, advices, elsewhere })
    }

    /// This session, and those in other regions, each with the name of its region if that is another one.
    pub(crate) fn everywhere(&self) -> impl Iterator<Item = (Option<&str>, &Self)> {
        let elsewhere = self.elsewhere.iter().map(|session| (Some(session.aws.region.as_str()), session));
        std::iter::once((None, self)).chain(elsewhere)
    }

    /// For each function what its code is made from.
    ///
    /// # Errors
    /// The code can't be read.
    pub(crate) fn code_hashes(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let functions = self.pipeline.nodes.iter().filter_map(|node| match node.resource.inner() {
            Any::Function(function) => Some((node.id.clone(), function)),
            _ => None,
        });
        functions.map(|(node, function)| Ok((node, function.code.hash()?.to_owned()))).collect()
    }

    /// Whose plan this session makes, and where.
    pub(crate) fn place(&self) -> Place {
        place(&self.pipeline.naming, Some(&self.aws))
    }

    /// The picture of the pipeline in all its regions; with a plan it says what happens to each resource.
    pub(crate) fn drawing(&self, plan: Option<&Plan>) -> Drawing {
        let elsewhere = self.elsewhere.iter().map(|there| (there.aws.region.as_str(), &there.pipeline));
        drawing(&self.pipeline, elsewhere, &self.aws, plan)
    }

    /// The flows through these functions, or all.
    pub(crate) fn flows(&self, functions: &[String]) -> anyhow::Result<Vec<&Flow>> {
        match functions {
            [] if self.pipeline.flows.is_empty() => Err(Usage("this pipeline has no function".to_owned()).into()),
            [] => Ok(self.pipeline.flows.iter().collect()),
            // In the spec's order, each once.
            named => {
                let named = named.iter().map(|name| self.flow(Some(name))).collect::<anyhow::Result<Vec<_>>>()?;
                let wanted = |flow: &&Flow| named.iter().any(|named| named.key == flow.key);
                Ok(self.pipeline.flows.iter().filter(wanted).collect())
            }
        }
    }

    /// The flows, but those of archives and mirrors, which keep or copy what other functions are there for.
    fn main_flows(&self) -> Vec<&Flow> {
        self.pipeline.flows.iter().filter(|flow| flow.recipe().map_or(true, Recipe::judges)).collect()
    }

    /// The named function's flow, or, of all that are neither archives nor mirrors, those with recipes.
    pub(crate) fn known_flows(&self, function: Option<&str>) -> anyhow::Result<Vec<&Flow>> {
        let known = |flow: &&Flow| flow.recipe().is_ok();
        let all = self.main_flows();
        if function.is_none() && all.len() > 1 && all.iter().any(known) {
            return Ok(all.into_iter().filter(known).collect());
        }
        Ok(vec![self.flow(function)?])
    }

    /// The named function's flow, or the first of those with a recipe that begin a pipeline: what they read comes from outside,
    /// and they all read the same.
    pub(crate) fn first_flow(&self, function: Option<&str>) -> anyhow::Result<&Flow> {
        let known = self.known_flows(function)?;
        let is_written = |flow: &&Flow| {
            flow.source.kind() == SourceKind::Table
                && known.iter().any(|other| other.table.as_deref() == Some(flow.source.name()))
        };
        let first: Vec<&Flow> = known.iter().copied().filter(|flow| !is_written(flow)).collect();
        match first[..] {
            [flow, ..] if first.iter().all(|other| other.source == flow.source) => Ok(flow),
            _ => self.flow(function),
        }
    }

    /// The only flow, or the one through the named function.
    pub(crate) fn flow(&self, function: Option<&str>) -> anyhow::Result<&Flow> {
        let flows = &self.pipeline.flows;
        let names = || flows.iter().map(|flow| flow.key.as_str()).collect::<Vec<_>>().join(", ");
        match (function, flows.as_slice()) {
            (None, []) => Err(Usage("this pipeline has no function, so no events flow through it".to_owned()).into()),
            (None, [flow]) => Ok(flow),
            (None, _) => {
                if let [only] = self.main_flows()[..] {
                    return Ok(only);
                }
                Err(Usage(format!("this pipeline has several functions: choose one of {} with --function", names()))
                    .into())
            }
            (Some(name), _) => flows.iter().find(|flow| flow.key == name).ok_or_else(|| {
                Usage(format!("there is no function `{name}` in this pipeline; there is {}", names())).into()
            }),
        }
    }
}

/// The pipeline, and where it stands if that is known.
pub(crate) fn place(naming: &Naming, aws: Option<&Clients>) -> Place {
    Place {
        pipeline: naming.pipeline.clone(),
        stage: naming.stage.clone(),
        account: aws.map(|aws| aws.account.clone()),
        region: aws.map(|aws| aws.region.clone()),
    }
}

/// What a section names as another region must be another one than the pipeline's own.
fn check_regions(spec: &Spec, home: &str) -> anyhow::Result<()> {
    let is_home = |region: &Spanned<String>| region.get_ref() == home;
    let functions =
        spec.function.iter().filter(|(_, function)| function.regions.iter().any(is_home)).map(|(name, _)| {
            (format!("function.{} names {home} in `regions`", name.get_ref()), "name only other regions there")
        });
    let streams =
        spec.stream.iter().filter(|(_, stream)| stream.region.as_ref().is_some_and(is_home)).map(|(name, _)| {
            (format!("stream.{} has `region = \"{home}\"`", name.get_ref()), "name another region there")
        });
    let tables =
        spec.table.iter().filter(|(_, table)| table.replicas.iter().any(is_home)).map(|(name, _)| {
            (format!("table.{} has a replica in {home}", name.get_ref()), "take it out of `replicas`")
        });
    match functions.chain(streams).chain(tables).next() {
        Some((says, mend)) => Err(Hint::usage(
            format!("{says}, which is the region that the pipeline itself is in"),
            format!("{mend}, or pass another --region"),
        )),
        None => Ok(()),
    }
}

/// The checked spec; `hint` says what to do when there is no such file.
pub(crate) fn load_spec(path: &Path, stage: StageChoice<'_>, hint: &str) -> anyhow::Result<Loaded> {
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

/// Clients for names and ARNs alone, in the place that the stage is bound to, or else in any.
async fn unconnected(global: &Global, pins: Option<&Pins>, spec: &Spec) -> anyhow::Result<Arc<Clients>> {
    let (account, region) = pins.map(Pins::place).unwrap_or_default();
    let others = spec.other_regions();
    let any = ANY_REGION.into_iter().find(|region| !others.contains(region)).unwrap_or(LOCAL_REGION);
    let region = global.region.as_deref().or(region).unwrap_or(any);
    let connection = Connection {
        region: Some(region.to_owned()),
        profile: None,
        endpoint: None,
        credentials: Credentials::Local,
        account: Some(account.unwrap_or(NO_ACCOUNT).to_owned()),
        embedded: false,
    };
    Ok(Arc::new(Clients::connect(&connection).await?))
}

async fn connect_to(
    global: &Global,
    reporter: &Reporter,
    start: daemon::Start,
    account: Option<String>,
) -> anyhow::Result<Arc<Clients>> {
    let connection = Connection { account, ..connection(global, reporter, start).await? };
    Ok(Arc::new(Clients::connect(&connection).await?))
}

/// Where the command line says to connect.
pub(super) async fn connection(
    global: &Global,
    reporter: &Reporter,
    start: daemon::Start,
) -> anyhow::Result<Connection> {
    let mut connection = Connection {
        region: global.region.clone(),
        profile: global.profile.clone(),
        endpoint: global.endpoint_url.clone(),
        credentials: Credentials::Chain,
        account: None,
        embedded: global.local,
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
    Ok(connection)
}
