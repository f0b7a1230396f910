//! What is asked of AWS: whose the credentials are, how far the clocks are apart, what the account may have and the caller may do.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use super::super::session::{Input, NO_ACCOUNT, Session, SpecArgument, Whose, connection};
use super::Check;
use crate::aws::{AwsError, Clients, answered, hint};
use crate::daemon::Start;
use crate::options::Global;
use crate::plan::ResourceKind;
use crate::preflight::denied;
use crate::report::{Reporter, hint_for};
use crate::spec::duration_text;

/// AWS takes no signature that is older, or this far ahead.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>
const SIGNATURE: Duration = Duration::from_secs(5 * 60);
/// Less than the fewest invocations at a time that Lambda keeps for functions that reserve none: nothing can be reserved.
const FEW_INVOCATIONS: i32 = 100;

/// What can't be known once a check has failed: the rest needs it.
const AFTER: [&str; 6] = ["region", "credentials", "endpoint", "clock", "quotas", "rights"];

pub(super) async fn checks(
    spec: Option<&Path>,
    global: &Global,
    reporter: &Reporter,
    checks: &mut Vec<Check>,
) -> anyhow::Result<()> {
    let before = checks.len();
    let why = ask(spec, global, reporter, checks).await?;
    let left: Vec<_> =
        AFTER.into_iter().filter(|name| checks[before..].iter().all(|check| check.name != *name)).collect();
    checks.extend(left.into_iter().map(|name| Check::skipped(name, why)));
    Ok(())
}

/// Goes as far as it can, and says why the rest was not checked.
async fn ask(
    spec: Option<&Path>,
    global: &Global,
    reporter: &Reporter,
    checks: &mut Vec<Check>,
) -> anyhow::Result<&'static str> {
    let mut connection = match connection(global, reporter, Start::Never).await {
        Ok(connection) => connection,
        // The check of the embedded AWS has said so.
        Err(_) if global.local => return Ok("no embedded AWS is running"),
        Err(error) => return Err(error),
    };
    connection.account = Some(NO_ACCOUNT.to_owned());
    let clients = match Clients::connect(&connection).await {
        Ok(clients) => clients,
        Err(error) => {
            checks.push(Check::fail("region", format!("{error:#}"), hint_for(&error).unwrap_or_default()));
            return Ok("needs a region");
        }
    };
    checks.push(Check::ok("region", clients.region.clone()));
    match clients.credentials_expire().await {
        Ok(expiry) => checks.push(credentials(expiry)),
        Err(error) => {
            checks.push(failed("credentials", &error));
            return Ok("needs credentials");
        }
    }
    let asked = Instant::now();
    let identity = clients.identity().await;
    let took = asked.elapsed().as_millis();
    let place = clients.endpoint.as_deref().unwrap_or("AWS");
    checks.push(match &identity {
        Ok((account, caller)) => {
            Check::ok("endpoint", format!("{place} answered in {took} ms: account {account}, {caller}"))
        }
        Err(error) => failed("endpoint", error),
    });
    // Also a refusal has a date, and a wrong clock is a common reason for one.
    if identity.as_ref().err().is_none_or(|error| !error.is(&["Unreachable", "Timeout", "Unsent"])) {
        checks.push(clock(clients.clock_ahead()));
    }
    if identity.is_err() {
        return Ok("needs an endpoint that answers");
    }
    checks.push(quotas(&clients).await);
    let Some(spec) = spec else { return Ok("name a pipeline file, to check what its `up` may do") };
    checks.push(rights(spec, global, reporter).await);
    Ok("")
}

fn failed(name: &'static str, error: &AwsError) -> Check {
    let mend = hint(error).unwrap_or_else(|| "look the error up in the service's documentation".to_owned());
    Check::fail(name, error.to_string(), mend)
}

/// Only when they end is said of them.
fn credentials(expiry: Option<SystemTime>) -> Check {
    const NAME: &str = "credentials";
    match expiry.map(|expiry| expiry.duration_since(SystemTime::now())) {
        None => Check::ok(NAME, "found"),
        Some(Ok(left)) => Check::ok(NAME, format!("found; they expire in {}", duration_text(left.as_secs() / 60 * 60))),
        Some(Err(_)) => {
            Check::fail(NAME, "found, and they have expired", "log in again: `aws sso login` or `aws login`")
        }
    }
}

fn clock((ahead, apart): (bool, Duration)) -> Check {
    const NAME: &str = "clock";
    if apart.is_zero() {
        return Check::ok(NAME, "as AWS's, to within seconds");
    }
    let message = format!(
        "this machine's clock is {} s {}",
        apart.as_secs(),
        if ahead { "behind AWS's" } else { "ahead of AWS's" }
    );
    let mend = "let the system set its clock, with NTP";
    if apart >= SIGNATURE {
        let limit = duration_text(SIGNATURE.as_secs());
        Check::fail(NAME, format!("{message}, and AWS takes no calls from {limit} on"), mend)
    } else {
        Check::warn(NAME, message, mend)
    }
}

/// What the account may have in the region, as far as one call for each service tells.
async fn quotas(clients: &Clients) -> Check {
    const NAME: &str = "quotas";
    let (lambda, kinesis) =
        tokio::join!(async { answered(clients.lambda.get_account_settings().send().await) }, async {
            answered(clients.kinesis.describe_limits().send().await)
        },);
    let (mut said, mut mend) = (Vec::new(), Vec::new());
    let mut unread = Vec::new();
    match lambda {
        Ok(settings) => {
            let limit = settings.account_limit;
            let most = limit.as_ref().map_or(0, |limit| limit.concurrent_executions);
            let free = limit.and_then(|limit| limit.unreserved_concurrent_executions).unwrap_or(most);
            said.push(format!("Lambda: {most} invocations at a time, {free} of them not reserved"));
            if free <= FEW_INVOCATIONS {
                mend.push("no function can reserve concurrency: ask AWS for more (Service Quotas, Lambda, \"Concurrent executions\")");
            }
        }
        Err(error) => unread.push(error),
    }
    match kinesis {
        Ok(limits) => {
            said.push(format!(
                "Kinesis: {} of {} shards, {} of {} on-demand streams",
                limits.open_shard_count,
                limits.shard_limit,
                limits.on_demand_stream_count,
                limits.on_demand_stream_count_limit
            ));
            let is_full = |there: i32, most: i32| most > 0 && there >= most;
            if is_full(limits.open_shard_count, limits.shard_limit)
                || is_full(limits.on_demand_stream_count, limits.on_demand_stream_count_limit)
            {
                mend.push("no stream can be added: ask AWS for more (Service Quotas, Kinesis), or delete streams that are not used");
            }
        }
        Err(error) => unread.push(error),
    }
    if let Some(error) = unread.first() {
        said.push(format!("not all could be read: {error}"));
        if error.is_denied() {
            mend.push("allow lambda:GetAccountSettings and kinesis:DescribeLimits, as `streamkit policy` does");
        } else {
            return Check::skipped(NAME, said.join("; "));
        }
    }
    if mend.is_empty() { Check::ok(NAME, said.join("; ")) } else { Check::warn(NAME, said.join("; "), mend.join("; ")) }
}

/// Asks IAM's policy simulator what `up` would.
async fn rights(spec: &Path, global: &Global, reporter: &Reporter) -> Check {
    const NAME: &str = "rights";
    let input = Input::spec(&SpecArgument { spec: Some(spec.to_owned()) });
    let session = match Session::open_in(&input, global, reporter, Start::Never, Whose::Asked).await {
        Ok(session) => session,
        Err(error) => return Check::fail(NAME, format!("{error:#}"), hint_for(&error).unwrap_or_default()),
    };
    let mut nodes: BTreeMap<ResourceKind, Vec<usize>> = BTreeMap::new();
    for (index, node) in session.pipeline.nodes.iter().enumerate() {
        nodes.entry(node.resource.kind()).or_default().push(index);
    }
    let caller = session.aws.caller.clone().unwrap_or_default();
    let Some((principal, answers)) = denied(&session.cx, &session.pipeline, &nodes).await else {
        return Check::skipped(
            NAME,
            format!(
                "IAM tells nothing of {caller}: the root user may do everything, and of other callers IAM may not be asked"
            ),
        );
    };
    let (mut lacking, mut unread) = (Vec::new(), None);
    for (_, _, denied) in answers {
        match denied {
            Ok(denied) => lacking.extend(denied),
            Err(error) => unread = Some(error),
        }
    }
    lacking.sort();
    lacking.dedup();
    if !lacking.is_empty() {
        let message = format!("{principal} may not do all that `up` takes: {}", lacking.join(", "));
        return Check::fail(NAME, message, "give it what `streamkit policy` prints");
    }
    match unread {
        Some(error) if error.is_denied() => Check::warn(
            NAME,
            format!("IAM was not asked: {error}"),
            "allow iam:SimulatePrincipalPolicy, as `streamkit policy` does",
        ),
        Some(error) => Check::skipped(NAME, format!("IAM's policy simulator did not tell: {error}")),
        None => Check::ok(NAME, format!("{principal} may do what `up` takes, as far as its own policies tell")),
    }
}
