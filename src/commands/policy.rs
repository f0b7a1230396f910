//! `streamkit policy`: what the caller's own policy must allow.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::session::{Input, Session, SpecArgument, Whose};
use crate::aws::{Clients, PIPELINE_TAG};
use crate::daemon::Start;
use crate::options::Global;
use crate::pipeline::{Pipeline, use_key};
use crate::plan::ResourceKind;
use crate::report::{Reporter, exit_code};
use crate::resources::{Any, OF_FUNCTIONS, ROLE_PATH, actions, replica_actions};
use crate::spec::{BucketNamespace, Encryption, SectionKind, is_account};

/// The most characters that an IAM managed policy may have, without white space.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const MANAGED_POLICY: usize = 6_144;

/// What reads the account's limits.
const LIMITS: [&str; 2] = ["kinesis:DescribeLimits", "lambda:GetAccountSettings"];

/// Print the IAM policy that whoever runs streamkit on this pipeline needs
///
/// What it allows is bound to the pipeline's names in this account and region. `--for deploy` neither
/// reads nor writes events. With --account nothing is asked of AWS.
///
/// Example: streamkit policy pipelines/retail-events.toml --account 123456789012 --region eu-west-1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// For which commands
    #[arg(long = "for", value_name = "WHAT", value_enum, default_value = "all")]
    scope: Scope,
    /// Print the policies of the functions' roles instead, which `up` writes: a document for each function
    #[arg(long, conflicts_with = "scope")]
    functions: bool,
    /// The account to write it for, instead of asking STS whose the credentials are
    #[arg(long, value_name = "ID", value_parser = account)]
    account: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scope {
    /// plan, up, status and down
    Deploy,
    /// send, validate, tail and logs
    Run,
    /// All of them
    All,
}

/// An account as an argument.
pub(super) fn account(text: &str) -> Result<String, String> {
    if is_account(text) { Ok(text.to_owned()) } else { Err("an AWS account has 12 digits".to_owned()) }
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let input = Input::spec(&args.spec);
    let whose = args.account.clone().map_or(Whose::Asked, Whose::Known);
    let session = Session::open_in(&input, global, reporter, Start::Never, whose).await?;
    if args.functions {
        let document = of_functions(&session);
        reporter.text(&format!("{}\n", serde_json::to_string_pretty(&document)?));
        reporter.document(&document)?;
        return Ok(exit_code::DONE);
    }
    let document = policy(&session, args.scope);
    // It is one document whether for people or for scripts.
    reporter.text(&format!("{}\n", serde_json::to_string_pretty(&document)?));
    reporter.document(&document)?;
    let size = document.to_string().chars().filter(|c| !c.is_whitespace()).count();
    if size > MANAGED_POLICY {
        reporter.note(&format!(
            "this has {size} characters, and a managed policy at most {MANAGED_POLICY}: attach --for deploy and --for run as two, or put it into a role's inline policy (10,240)"
        ));
    }
    Ok(exit_code::DONE)
}

/// What each function may do: its role and the role's policy, by section.
fn of_functions(session: &Session) -> Value {
    let roles = session.pipeline.nodes.iter().filter_map(|node| match node.resource.inner() {
        Any::Role(role) => {
            // `function.NAME.role`, with the region behind it where that is another one.
            let (section, region) = node.id.rsplit_once(".role").unwrap_or((&node.id, ""));
            Some((format!("{section}{region}"), json!({ "role": role.name, "policy": role.policy.document() })))
        }
        _ => None,
    });
    Value::Object(roles.collect())
}

/// One statement for each kind of resource, and one for actions on `*`.
fn policy(session: &Session, scope: Scope) -> Value {
    let (pipeline, aws) = (&session.pipeline, &session.aws);
    let kinds: BTreeSet<ResourceKind> = pipeline.nodes.iter().map(|node| node.resource.kind()).collect();
    let mut account: BTreeSet<&str> = BTreeSet::new();
    let mut own: BTreeMap<ResourceKind, BTreeSet<&str>> = BTreeMap::new();
    // `validate` begins with a look at everything, as `plan` does.
    let wanted = |action: &&&str| scope != Scope::Run || is_read(action);
    for &kind in ResourceKind::ALL {
        // The search for orphans lists all kinds; limits matter for what the pipeline has.
        let matters = |action: &&&str| kinds.contains(&kind) || !LIMITS.contains(*action);
        account.extend(actions(kind).account.iter().filter(wanted).filter(matters));
        if kinds.contains(&kind) {
            own.entry(kind).or_default().extend(actions(kind).own.iter().filter(wanted));
        }
    }
    // The tags of many in one call; without it each is asked for its own.
    account.insert("tag:GetResources");
    if scope != Scope::Run {
        // To see, before anything is made, what the caller may not do.
        account.insert("iam:SimulatePrincipalPolicy");
        // Of the caller's own role, whose path a session does not say; and a role that is not there has no ARN to match.
        account.insert("iam:GetRole");
    }
    if scope != Scope::Deploy {
        let of_validate = reads_table(pipeline).then_some(&ResourceKind::Queue);
        for kind in kinds.iter().chain(of_validate) {
            let (of_kind, anywhere) = running(*kind, pipeline);
            own.entry(*kind).or_default().extend(of_kind);
            account.extend(anywhere);
        }
    }
    let mut statements = Vec::new();
    for (kind, mut actions) in own.into_iter().filter(|(_, actions)| !actions.is_empty()) {
        let of_functions = arns(session, ResourceKind::Function);
        let sid: String = kind.text().split(' ').map(capitalised).collect();
        if actions.remove("iam:PassRole") {
            statements.push(json!({
                "Sid": "PassRole", "Effect": "Allow", "Action": "iam:PassRole", "Resource": arns(session, kind),
                "Condition": { "StringEquals": { "iam:PassedToService": "lambda.amazonaws.com" } },
            }));
        }
        if kind == ResourceKind::Key && actions.remove("kms:CreateKey") {
            statements.extend(making_keys(session, &mut actions));
        }
        if actions.is_empty() {
            continue;
        }
        let mut statement =
            json!({ "Sid": sid, "Effect": "Allow", "Action": actions, "Resource": arns(session, kind) });
        if kind == ResourceKind::Key {
            // A key's ARN does not contain the pipeline's name; its tags do.
            let tag = format!("aws:ResourceTag/{PIPELINE_TAG}");
            statement["Condition"] = json!({ "StringEquals": { tag: pipeline.naming.pipeline } });
        }
        if kind == ResourceKind::Mapping {
            // A mapping's ARN does not contain the pipeline's name; its function's does.
            statement["Condition"] = json!({ "ArnLike": { "lambda:FunctionArn": of_functions } });
        }
        statements.push(statement);
    }
    if scope != Scope::Run
        && pipeline.nodes.iter().any(|node| matches!(&node.resource, Any::Table(table) if table.is_scaled()))
    {
        // Application Auto Scaling makes its role with the account's first scaled table.
        statements.push(json!({
            "Sid": "AutoscalingRole", "Effect": "Allow", "Action": "iam:CreateServiceLinkedRole",
            "Resource": aws.global_arn(
                "iam",
                "role/aws-service-role/dynamodb.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_DynamoDBTable",
            ),
            "Condition": { "StringEquals": { "iam:AWSServiceName": "dynamodb.application-autoscaling.amazonaws.com" } },
        }));
    }
    if scope != Scope::Run {
        statements.extend(replicas(session));
    }
    statements.extend(keys(session, scope));
    if !account.is_empty() {
        statements.push(json!({ "Sid": "Account", "Effect": "Allow", "Action": account, "Resource": "*" }));
    }
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// Leave to make keys, with the pipeline's tag and aliases: a key that is not there yet has neither tags nor an alias of its own.
fn making_keys(session: &Session, actions: &mut BTreeSet<&str>) -> [Value; 2] {
    actions.insert("kms:CreateAlias");
    let (naming, tag) = (&session.pipeline.naming, format!("aws:RequestTag/{PIPELINE_TAG}"));
    let aliases = session.aws.arn("kms", &format!("alias/{}-*", naming.prefix()));
    [
        json!({
            "Sid": "KMSKeyCreation", "Effect": "Allow", "Action": ["kms:CreateKey", "kms:TagResource"], "Resource": "*",
            "Condition": { "StringEquals": { tag: naming.pipeline } },
        }),
        json!({ "Sid": "KMSAlias", "Effect": "Allow", "Action": "kms:CreateAlias", "Resource": aliases }),
    ]
}

/// What making and removing replicas takes in their regions, beside what tables take everywhere, and the role that DynamoDB makes with
/// the account's first replica.
///
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html>
fn replicas(session: &Session) -> Vec<Value> {
    let prefix = session.pipeline.naming.prefix();
    let table = |region: &str| session.aws.in_region(region).arn("dynamodb", &format!("table/{prefix}-*"));
    let replicas = session.pipeline.nodes.iter().filter(|node| node.resource.kind() == ResourceKind::Table);
    let tables: BTreeSet<String> = replicas.filter_map(|node| node.resource.region()).map(table).collect();
    if tables.is_empty() {
        return Vec::new();
    }
    let service = "replication.dynamodb.amazonaws.com";
    let role = format!("role/aws-service-role/{service}/AWSServiceRoleForDynamoDBReplication");
    vec![
        json!({ "Sid": "Replicas", "Effect": "Allow", "Action": replica_actions().own, "Resource": tables }),
        json!({
            "Sid": "ReplicationRole", "Effect": "Allow", "Action": "iam:CreateServiceLinkedRole",
            "Resource": session.aws.global_arn("iam", &role),
            "Condition": { "StringEquals": { "iam:AWSServiceName": service } },
        }),
    ]
}

/// What the caller does with the customer's own keys, one statement for each.
///
/// <https://docs.aws.amazon.com/streams/latest/dev/permissions-user-key-KMS.html>
fn keys(session: &Session, scope: Scope) -> Vec<Value> {
    let (deploys, runs) = (scope != Scope::Run, scope != Scope::Deploy);
    let mut wanted: BTreeMap<&str, BTreeSet<&'static str>> = BTreeMap::new();
    for node in &session.pipeline.nodes {
        // What is published to a topic is encrypted for the function or the alarm, whose rights these are.
        let (encryption, deploying, running): (_, &[&'static str], &[&'static str]) = match node.resource.inner() {
            Any::Stream(stream) => {
                (Some(&stream.encryption), &["kms:DescribeKey"], &["kms:Decrypt", "kms:GenerateDataKey"])
            }
            Any::Bucket(bucket) => (bucket.encryption.as_ref(), &[], &["kms:Decrypt"]),
            _ => (None, &[], &[]),
        };
        let Some(Encryption::Key(key)) = encryption else { continue };
        let actions = wanted.entry(key).or_default();
        actions.extend(deploying.iter().filter(|_| deploys));
        actions.extend(running.iter().filter(|_| runs));
    }
    let statement = |(number, (key, actions)): (usize, (&str, BTreeSet<&'static str>))| {
        let actions: Vec<_> = actions.into_iter().collect();
        let mut statement = use_key(&session.aws, key, &actions).json();
        statement["Sid"] = json!(format!("Key{}", number + 1));
        statement
    };
    wanted.into_iter().filter(|(_, actions)| !actions.is_empty()).enumerate().map(statement).collect()
}

fn is_read(action: &str) -> bool {
    let name = action.split_once(':').map_or(action, |(_, name)| name);
    ["Get", "List", "Describe"].iter().any(|verb| name.starts_with(verb))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The resources of one kind that may be the pipeline's, in all of its regions.
fn arns(session: &Session, kind: ResourceKind) -> Value {
    let here = arns_in(session, &session.aws, kind);
    let has = |region: &&str| {
        let mut nodes = session.pipeline.nodes.iter();
        nodes.any(|node| node.resource.region() == Some(region) && node.resource.kind() == kind)
    };
    let regions = session.pipeline.regions().into_iter().filter(has);
    let elsewhere: Vec<Value> = regions.map(|region| arns_in(session, &session.aws.in_region(region), kind)).collect();
    if elsewhere.is_empty() {
        return here;
    }
    let mut all = Vec::new();
    for arns in std::iter::once(here).chain(elsewhere) {
        let arns = if let Value::Array(arns) = arns { arns } else { vec![arns] };
        let new: Vec<_> = arns.into_iter().filter(|arn| !all.contains(arn)).collect();
        all.extend(new);
    }
    Value::Array(all)
}

fn arns_in(session: &Session, aws: &Clients, kind: ResourceKind) -> Value {
    let prefix = session.pipeline.naming.prefix();
    match kind {
        ResourceKind::Stream | ResourceKind::Consumer => json!(aws.arn("kinesis", &format!("stream/{prefix}-*"))),
        // The table and its streams.
        ResourceKind::Table => json!(aws.arn("dynamodb", &format!("table/{prefix}-*"))),
        ResourceKind::Queue => json!(aws.arn("sqs", &format!("{prefix}-*"))),
        ResourceKind::Topic => json!(aws.arn("sns", &format!("{prefix}-*"))),
        ResourceKind::Function => json!(aws.arn("lambda", &format!("function:{prefix}-*"))),
        ResourceKind::Mapping => json!("*"),
        ResourceKind::Role => json!(aws.global_arn("iam", &format!("role{ROLE_PATH}{prefix}-*"))),
        ResourceKind::LogGroup => json!(aws.arn("logs", &format!("log-group:{OF_FUNCTIONS}{prefix}-*"))),
        ResourceKind::Alarm => json!(aws.arn("cloudwatch", &format!("alarm:{prefix}-*"))),
        ResourceKind::Key => json!(aws.arn("kms", "key/*")),
        ResourceKind::Dashboard => json!(aws.global_arn("cloudwatch", &format!("dashboard/{prefix}-*"))),
        ResourceKind::Bucket => {
            let mut namespaces: BTreeSet<_> =
                session.pipeline.nodes.iter().filter_map(|node| namespace(&node.resource)).collect();
            // What was in the spec before, if nothing is now.
            namespaces.insert(BucketNamespace::Global);
            let name = |namespace: &_| session.pipeline.naming.bucket("*", *namespace, &aws.account, &aws.region);
            let buckets = namespaces.iter().map(|namespace| aws.bucket_arn(&name(namespace)));
            buckets.flat_map(|bucket| [format!("{bucket}/*"), bucket]).rev().collect()
        }
    }
}

fn namespace(resource: &Any) -> Option<BucketNamespace> {
    if let Any::Bucket(bucket) = resource { Some(bucket.namespace) } else { None }
}

fn reads_table(pipeline: &Pipeline) -> bool {
    pipeline.flows.iter().any(|flow| matches!(flow.source, crate::pipeline::FlowSource::Table(_)))
}

fn writes_table(pipeline: &Pipeline) -> bool {
    pipeline.flows.iter().any(|flow| flow.table.is_some())
}

fn has_index(pipeline: &Pipeline) -> bool {
    pipeline.flows.iter().filter_map(|flow| flow.encryption.as_ref()).any(|settings| settings.index_key.is_some())
}

/// Whether anybody may decrypt what is encrypted with one of the pipeline's keys.
fn has_readers(pipeline: &Pipeline) -> bool {
    pipeline.nodes.iter().any(|node| matches!(&node.resource, Any::Key(key) if !key.readers.is_empty()))
}

fn has_failure_bucket(pipeline: &Pipeline) -> bool {
    let is_bucket = |(kind, _): &(SectionKind, String)| *kind == SectionKind::Bucket;
    pipeline.flows.iter().any(|flow| flow.on_failure.as_ref().is_some_and(is_bucket))
}

/// On tables that functions write to.
const ON_WRITTEN_TABLES: [&str; 6] = [
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:Query",
    "dynamodb:Scan",
];

/// On tables whose changes functions read. `replay --into` looks at the items that it writes.
const ON_READ_TABLES: [&str; 10] = [
    "dynamodb:BatchGetItem",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeStream",
    "dynamodb:DescribeTable",
    "dynamodb:GetItem",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListTagsOfResource",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
];

/// Where there are both: all of that.
const ON_CHAINED_TABLES: [&str; 14] = [
    "dynamodb:BatchGetItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:DescribeStream",
    "dynamodb:DescribeTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:GetItem",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListTagsOfResource",
    "dynamodb:PutItem",
    "dynamodb:Query",
    "dynamodb:Scan",
    "dynamodb:UpdateItem",
];

/// What `send`, `validate`, `tail`, `logs`, `dlq` and `replay` do with resources of one kind: on the pipeline's own, and without one to name.
fn running(kind: ResourceKind, pipeline: &Pipeline) -> (&'static [&'static str], &'static [&'static str]) {
    let reads_table = reads_table(pipeline);
    match kind {
        ResourceKind::Stream => (
            &[
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
                "kinesis:PutRecords",
            ],
            &[],
        ),
        ResourceKind::Table => match (reads_table, writes_table(pipeline)) {
            (true, true) => (&ON_CHAINED_TABLES, &[]),
            (true, false) => (&ON_READ_TABLES, &[]),
            (false, _) => (&ON_WRITTEN_TABLES, &[]),
        },
        // `validate` receives a table's notifications through a queue that it creates and deletes.
        ResourceKind::Queue if reads_table => (
            &[
                "sqs:ChangeMessageVisibility",
                "sqs:CreateQueue",
                "sqs:DeleteMessage",
                "sqs:DeleteQueue",
                "sqs:GetQueueAttributes",
                "sqs:ListQueueTags",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
                "sqs:SetQueueAttributes",
                "sqs:TagQueue",
            ],
            &[],
        ),
        // `dlq redrive` puts the new error of a letter in place of the old one.
        ResourceKind::Queue => (
            &[
                "sqs:ChangeMessageVisibility",
                "sqs:DeleteMessage",
                "sqs:GetQueueAttributes",
                "sqs:ListQueueTags",
                "sqs:ReceiveMessage",
                "sqs:SendMessage",
            ],
            &[],
        ),
        ResourceKind::Topic => (&["sns:GetTopicAttributes", "sns:Subscribe"], &["sns:Unsubscribe"]),
        // `dlq` asks whose an on-failure bucket is.
        ResourceKind::Bucket if has_failure_bucket(pipeline) => {
            (&["s3:DeleteObject", "s3:GetBucketTagging", "s3:GetObject", "s3:ListBucket"], &[])
        }
        ResourceKind::Bucket => (&["s3:DeleteObject", "s3:GetObject", "s3:ListBucket"], &[]),
        ResourceKind::LogGroup => (&["logs:FilterLogEvents"], &["logs:DescribeLogGroups"]),
        ResourceKind::Alarm => (&[], &["cloudwatch:DescribeAlarms"]),
        ResourceKind::Function => (
            // `validate --break` changes the function and looks at it again; `dlq redrive` and `replay` play records to it.
            &[
                "lambda:GetFunction",
                "lambda:GetFunctionConfiguration",
                "lambda:InvokeFunction",
                "lambda:UpdateFunctionConfiguration",
            ],
            // `status`, and `cost --measured`.
            &["cloudwatch:GetMetricData", "cloudwatch:GetMetricStatistics"],
        ),
        ResourceKind::Mapping => (&[], &["lambda:ListEventSourceMappings"]),
        // `decrypt` and `validate`, of a caller who is among the key's readers.
        ResourceKind::Key if has_readers(pipeline) && has_index(pipeline) => (&["kms:Decrypt", "kms:GenerateMac"], &[]),
        ResourceKind::Key if has_readers(pipeline) => (&["kms:Decrypt"], &[]),
        _ => (&[], &[]),
    }
}
