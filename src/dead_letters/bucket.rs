//! A bucket that mappings write on-failure records to: one object each, with the records.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html#services-kinesis-errors> names the keys.

use anyhow::Context as _;

use super::message::{Kind, Message};
use super::store::{Receipt, Usage};
use crate::aws::{Clients, all, answered};

/// What the keys of on-failure records begin with.
const PREFIX: &str = "aws/lambda/";

/// A bucket of the pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    aws: Clients,
    name: String,
    /// Keys that are left to read; none until they are listed.
    open: Option<Vec<String>>,
}

impl Bucket {
    pub(super) fn new(aws: &Clients, name: &str) -> Self {
        Self { aws: aws.clone(), name: name.to_owned(), open: None }
    }

    async fn keys(&self) -> anyhow::Result<Option<Vec<String>>> {
        let pages = self.aws.s3.list_objects_v2().bucket(&self.name).prefix(PREFIX);
        let pages = pages.expected_bucket_owner(&self.aws.account).into_paginator().send();
        match all(pages).await {
            Ok(pages) => {
                let objects = pages.into_iter().flat_map(|page| page.contents.unwrap_or_default());
                Ok(Some(objects.filter_map(|object| object.key).collect()))
            }
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error).with_context(|| format!("listing S3 bucket ({})", self.name)),
        }
    }

    pub(super) async fn usage(&self) -> anyhow::Result<Option<Usage>> {
        let keys = self.keys().await?;
        Ok(keys.map(|keys| Usage { messages: u64::try_from(keys.len()).unwrap_or(u64::MAX), ..Usage::default() }))
    }

    /// Reads some of the objects, each once.
    pub(super) async fn receive(&mut self, most: usize) -> anyhow::Result<Vec<Message>> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.keys().await?.unwrap_or_default().into_iter().rev().collect(),
        };
        let chosen = open.split_off(open.len().saturating_sub(most.clamp(1, 100)));
        self.open = Some(open);
        let mut messages = Vec::with_capacity(chosen.len());
        for key in chosen.into_iter().rev() {
            let what = || format!("reading an object of S3 bucket ({}): {key}", self.name);
            let call = self.aws.s3.get_object().bucket(&self.name).key(&key).expected_bucket_owner(&self.aws.account);
            let object = match answered(call.send().await) {
                Ok(object) => object,
                // Somebody has deleted it meanwhile.
                Err(error) if error.is(&["NoSuchKey"]) => continue,
                Err(error) => return Err(error).with_context(what),
            };
            let sent_ms = object.last_modified.and_then(|time| time.to_millis().ok()).unwrap_or(0);
            let body = object.body.collect().await.with_context(what)?.into_bytes();
            let body = String::from_utf8_lossy(&body).into_owned();
            let (kind, receipt) = (Kind::of(&body), Receipt(key.clone()));
            messages.push(Message { id: key, receipt, kind, sent_ms, receives: 0, body });
        }
        Ok(messages)
    }

    pub(super) async fn delete(&self, receipts: &[Receipt]) -> anyhow::Result<()> {
        for receipt in receipts {
            let call = self.aws.s3.delete_object().bucket(&self.name).key(&receipt.0);
            let call = call.expected_bucket_owner(&self.aws.account);
            answered(call.send().await)
                .with_context(|| format!("deleting an object of S3 bucket ({}): {}", self.name, receipt.0))?;
        }
        Ok(())
    }
}
