//! `streamkit decrypt`: items with their encrypted fields in clear, for whoever may.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;

use anyhow::Context as _;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::Value;
use streamkit_handler::attribute::{attribute_value, item};
use streamkit_handler::encryption::EncryptionSettings;
use streamkit_recipes::{Attribute, Item};

use super::session::{Input, Session, SpecArgument};
use crate::aws::{AwsError, Clients, answered};
use crate::daemon::Start;
use crate::decryption::{Decryption, index_of};
use crate::failure::{Hint, Usage};
use crate::options::Global;
use crate::pipeline::Flow;
use crate::report::{Reporter, exit_code};
use crate::spec::{Reference, SectionKind};

/// How many items are shown where nothing is said.
const SHOWN: u64 = 100;

/// Show a table's items with their encrypted fields in clear, to whoever may decrypt
///
/// Only those may whom the key's section names as `readers`, and whose own policy allows kms:Decrypt.
/// Without conditions the table is read from its beginning. --index-of finds the items with a value
/// of a field that has `index = true`, by its keyed hash.
///
/// Example: streamkit decrypt pipelines/private-events.toml table.results --local --index-of email=ada@mail.example
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgument,
    /// The table, such as table.results [default: the only one with encrypted fields]
    #[arg(value_name = "TABLE", value_parser = Reference::parse)]
    table: Option<Reference>,
    /// Only items with this value of their partition key
    #[arg(long, value_name = "VALUE")]
    key: Option<String>,
    /// Only items whose attribute has this value, as text; may be given several times
    #[arg(long = "where", value_name = "ATTRIBUTE=VALUE", value_parser = pair)]
    conditions: Vec<(String, String)>,
    /// Only items that were made of an event with this value of an encrypted field
    #[arg(long, value_name = "FIELD=VALUE", value_parser = pair)]
    index_of: Option<(String, String)>,
    /// Show so many items at the most
    #[arg(long, value_name = "N", default_value_t = SHOWN, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write a name, an equals sign and a value")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) async fn run(args: &Args, global: &Global, reporter: &Reporter) -> anyhow::Result<ExitCode> {
    let session = Box::pin(Session::open(&Input::spec(&args.spec), global, reporter, Start::Never)).await?;
    let (table, settings) = encrypted_table(&session, args.table.as_ref())?;
    let mut filter = Filter::default();
    for (name, value) in &args.conditions {
        filter.equals(name, value);
    }
    if let Some((field, value)) = &args.index_of {
        let json = Value::String(value.clone()).to_string();
        let hash = index_of(&session.aws, settings, field, &json).await.map_err(|error| explained(error, settings))?;
        let of = settings.fields.iter().find(|of| of.field == *field);
        filter.equals(&of.context("the field has an index")?.index_attribute(), &hash);
    }
    let mut decryption = Decryption::new(&session.aws, settings);
    let mut items = Items { aws: &session.aws, table, filter, partition: None, start: None, ended: false };
    if let Some(key) = &args.key {
        items.partition = Some((partition_key(&session.aws, table).await?, key.clone()));
    }
    let mut left = args.count;
    while left > 0 && !items.ended {
        for found in items.page().await? {
            if left == 0 || reporter.has_no_reader() {
                return Ok(exit_code::DONE);
            }
            let clear = decryption.reveal(&found).await.map_err(|error| explained(error.into(), settings))?;
            let shown = plain_item(&clear);
            reporter.data(&if global.json {
                format!("{shown}\n")
            } else {
                format!("{}\n", serde_json::to_string_pretty(&shown)?)
            });
            left -= 1;
        }
    }
    Ok(exit_code::DONE)
}

/// KMS's refusal, with who may and how one becomes one of them.
fn explained(error: anyhow::Error, settings: &EncryptionSettings) -> anyhow::Error {
    let denied = error.chain().any(|cause| cause.downcast_ref::<AwsError>().is_some_and(AwsError::is_denied));
    if !denied {
        return error.context("decrypting");
    }
    let key = settings.key.rsplit('/').next().unwrap_or(&settings.key);
    let hint = "add the ARN of your role to `readers` of the key's section, run `streamkit up`, and let the role's own policy allow \
                kms:Decrypt and kms:GenerateMac, as `streamkit policy --for run` prints it";
    Hint::error(format!("you may not decrypt what KMS key ({key}) has encrypted: {error:#}"), hint)
}

/// The table's name in AWS, and how its fields were encrypted.
fn encrypted_table<'s>(
    session: &'s Session,
    named: Option<&Reference>,
) -> anyhow::Result<(&'s str, &'s EncryptionSettings)> {
    if let Some(other) = named.filter(|named| named.kind != SectionKind::Table) {
        return Err(Usage(format!("{other} is no table")).into());
    }
    let physical = named.map(|named| session.pipeline.naming.physical(&named.name));
    let of = |flow: &'s Flow| Some((flow.table.as_deref()?, flow.encryption.as_ref()?));
    let all: BTreeMap<&str, &EncryptionSettings> = session.pipeline.flows.iter().filter_map(of).collect();
    let mut chosen = all.into_iter().filter(|(table, _)| physical.as_ref().is_none_or(|name| name == table));
    match (chosen.next(), chosen.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Usage("several tables have encrypted fields: name one".to_owned()).into()),
        (None, _) => Err(Hint::usage(
            named
                .map_or("no table has encrypted fields".to_owned(), |named| format!("{named} has no encrypted fields")),
            "what a function encrypts, `encrypt` in its section says",
        )),
    }
}

async fn partition_key(aws: &Clients, table: &str) -> anyhow::Result<String> {
    let answer = answered(aws.dynamodb.describe_table().table_name(table).send().await)
        .with_context(|| format!("looking at DynamoDB table ({table})"))?;
    let keys = answer.table.and_then(|table| table.key_schema).unwrap_or_default();
    Ok(keys.into_iter().next().context("a table without a key")?.attribute_name)
}

/// Conditions on attributes, each a text or a number.
#[derive(Default)]
struct Filter {
    parts: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Filter {
    fn equals(&mut self, name: &str, value: &str) {
        let number = self.parts.len();
        self.names.insert(format!("#n{number}"), name.to_owned());
        self.values.insert(format!(":s{number}"), attribute_value(&Attribute::S(value.to_owned())));
        let mut part = format!("#n{number} = :s{number}");
        if value.parse::<f64>().is_ok_and(f64::is_finite) {
            self.values.insert(format!(":d{number}"), attribute_value(&Attribute::N(value.to_owned())));
            part = format!("({part} OR #n{number} = :d{number})");
        }
        self.parts.push(part);
    }
}

/// The items of a table, page by page.
struct Items<'a> {
    aws: &'a Clients,
    table: &'a str,
    filter: Filter,
    partition: Option<(String, String)>,
    start: Option<HashMap<String, AttributeValue>>,
    ended: bool,
}

impl Items<'_> {
    async fn page(&mut self) -> anyhow::Result<Vec<Item>> {
        let filter = (!self.filter.parts.is_empty()).then(|| self.filter.parts.join(" AND "));
        let (mut names, mut values) = (self.filter.names.clone(), self.filter.values.clone());
        let (items, start) = if let Some((name, value)) = &self.partition {
            names.insert("#partition".to_owned(), name.clone());
            values.insert(":partition".to_owned(), attribute_value(&Attribute::S(value.clone())));
            let call = self.aws.dynamodb.query().table_name(self.table).consistent_read(true);
            let call = call.key_condition_expression("#partition = :partition").set_filter_expression(filter);
            let call = call.set_expression_attribute_names(Some(names)).set_expression_attribute_values(Some(values));
            let answer = answered(call.set_exclusive_start_key(self.start.take()).send().await);
            let answer = answer.with_context(|| format!("querying DynamoDB table ({})", self.table))?;
            (answer.items, answer.last_evaluated_key)
        } else {
            let call = self.aws.dynamodb.scan().table_name(self.table).consistent_read(true);
            let some = |is: bool| is.then_some(());
            let call = call
                .set_expression_attribute_names(some(!names.is_empty()).map(|()| names))
                .set_expression_attribute_values(some(!values.is_empty()).map(|()| values))
                .set_filter_expression(filter);
            let answer = answered(call.set_exclusive_start_key(self.start.take()).send().await);
            let answer = answer.with_context(|| format!("scanning DynamoDB table ({})", self.table))?;
            (answer.items, answer.last_evaluated_key)
        };
        self.start = start.filter(|key| !key.is_empty());
        self.ended = self.start.is_none();
        Ok(items.unwrap_or_default().into_iter().map(item).collect())
    }
}

/// An item as plain JSON; numbers keep their digits where JSON numbers do.
fn plain_item(item: &Item) -> Value {
    Value::Object(item.iter().map(|(name, value)| (name.to_owned(), plain(value))).collect())
}

fn plain(value: &Attribute) -> Value {
    let number = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()));
    match value {
        Attribute::S(text) => Value::String(text.clone()),
        Attribute::N(text) => number(text),
        Attribute::Bool(is) => Value::Bool(*is),
        Attribute::Null => Value::Null,
        Attribute::List(list) => list.iter().map(plain).collect(),
        Attribute::Map(map) => plain_item(map),
        Attribute::Strings(set) => set.iter().cloned().map(Value::String).collect(),
        Attribute::Numbers(set) => set.iter().map(number).collect(),
        // In base64, as DynamoDB has them in JSON.
        other => serde_json::to_value(other)
            .ok()
            .and_then(|value| value.as_object()?.values().next().cloned())
            .unwrap_or_default(),
    }
}
