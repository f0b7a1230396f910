//! Lambda functions with their roles and log groups.

use super::super::hcl::{Body, Expression};
use super::super::live::Details;
use super::stream::field;
use super::{Files, Subject};
use crate::aws::assume_role_policy;
use crate::resources::{Function, LogGroup, ROLE_PATH, ROLE_POLICY, Role};

pub(super) const FUNCTIONS: &str = "functions.tf";
const DAY: u64 = 86_400;

impl Files<'_> {
    pub(super) fn role(&mut self, subject: &Subject<'_>, role: &Role) {
        let (description, path) = match &subject.live.details {
            Details::Role { description, path } => (description.as_str(), path.as_str()),
            _ => ("", ROLE_PATH),
        };
        let mut body = Body::default();
        body.text("name", &role.name).text("path", path);
        if !description.is_empty() {
            body.text("description", description);
        }
        body.set("assume_role_policy", self.references.encoded(&assume_role_policy()));
        body.set("tags", self.tags(subject));
        self.add(FUNCTIONS, subject, "aws_iam_role", body, subject.import(&role.name));

        let mut body = Body::default();
        body.text("name", ROLE_POLICY)
            .raw("role", format!("aws_iam_role.{}.id", subject.label))
            .set("policy", self.references.encoded(&role.policy.document()));
        let has_policy = subject.live.seen.as_ref().is_some_and(|seen| !seen.fields["policy"].is_null());
        let import = has_policy.then(|| format!("{}:{ROLE_POLICY}", role.name));
        self.add(FUNCTIONS, subject, "aws_iam_role_policy", body, import);
    }

    pub(super) fn log_group(&mut self, subject: &Subject<'_>, group: &LogGroup) {
        let mut body = Body::default();
        body.text("name", &group.name)
            .raw("retention_in_days", group.retention.0 / DAY)
            .set("tags", self.tags(subject));
        self.add(FUNCTIONS, subject, "aws_cloudwatch_log_group", body, subject.import(&group.name));
    }

    pub(super) fn function(&mut self, subject: &Subject<'_>, function: &Function) {
        let (description, handler) = match &subject.live.details {
            Details::Function { description, handler } => (description.as_str(), handler.as_str()),
            _ => ("", "bootstrap"),
        };
        let mut body = Body::default();
        body.text("function_name", &function.name);
        if !description.is_empty() {
            body.text("description", description);
        }
        body.set("role", self.references.text(&function.role.get()))
            .text("runtime", &field(function, "runtime"))
            .text("handler", handler);
        let architectures = vec![Expression::text(&field(function, "architecture"))];
        body.set("architectures", Expression::List(architectures));
        body.set("filename", Expression::raw(format!("\"${{path.module}}/{}\"", package(subject))));
        body.raw("memory_size", function.memory).raw("timeout", function.timeout.0);
        if let Some(reserved) = function.reserved_concurrency {
            body.raw("reserved_concurrent_executions", reserved);
        }
        body.set("tags", self.tags(subject));
        body.block("tracing_config", |body| {
            body.text("mode", if function.tracing { "Active" } else { "PassThrough" });
        });
        let variables = function.environment.iter().map(|(name, value)| (name.clone(), self.references.value(value)));
        let variables = Expression::Object(variables.collect());
        body.block("environment", |body| {
            body.set("variables", variables);
        });
        // Lambda would make the log group by itself, without an end to its retention.
        let group = Expression::raw(format!("aws_cloudwatch_log_group.{}", subject.label));
        body.set("depends_on", Expression::List(vec![group]));
        body.block("lifecycle", |body| {
            body.comment("The code that runs stays. Take this out, and the next apply uploads the zip file.");
            let ignored = ["filename", "source_code_hash"].map(Expression::raw).to_vec();
            body.set("ignore_changes", Expression::List(ignored));
        });
        self.add(FUNCTIONS, subject, "aws_lambda_function", body, subject.import(&function.name));
    }
}

/// The zip file that the function's code would be in.
fn package(subject: &Subject<'_>) -> String {
    format!("{}.zip", subject.label)
}
