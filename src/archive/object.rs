//! One archived object: its lines.

use std::io::Read as _;

use anyhow::Context as _;
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::aws::{AwsError, Clients, answered};

/// Ten times what Lambda hands to a function at once: more has another origin.
const MAX_BYTES: u64 = 64 << 20;

/// Reads an object of the recipe `archive`: one record of Lambda's event for each line. None if there is no such object.
pub(crate) async fn lines(aws: &Clients, bucket: &str, key: &str) -> anyhow::Result<Option<Vec<Value>>> {
    let what = || format!("reading the object {key} of S3 bucket ({bucket})");
    let call = aws.s3.get_object().bucket(bucket).expected_bucket_owner(&aws.account).key(key);
    let object = match answered(call.send().await) {
        Err(error) if is_gone(&error) => return Ok(None),
        answer => answer.with_context(what)?,
    };
    let body = object.body.collect().await.with_context(what)?.into_bytes();
    // It takes milliseconds: other tasks go on meanwhile.
    tokio::task::spawn_blocking(move || unpacked(&body)).await?.with_context(what).map(Some)
}

fn is_gone(error: &AwsError) -> bool {
    error.is(&["NoSuchKey"])
}

fn unpacked(body: &[u8]) -> anyhow::Result<Vec<Value>> {
    let mut text = String::new();
    let mut decoder = MultiGzDecoder::new(body).take(MAX_BYTES + 1);
    decoder.read_to_string(&mut text).context("it is not what the recipe `archive` writes")?;
    anyhow::ensure!(text.len() as u64 <= MAX_BYTES, "it has more than {MAX_BYTES} bytes, unpacked");
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("line {} is no JSON", number + 1))
    };
    text.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_are_unpacked_and_what_is_none_is_refused() {
        assert_eq!(
            unpacked(&packed(b"{\"a\":1}\n{}\n")).unwrap(),
            [serde_json::json!({"a": 1}), serde_json::json!({})]
        );
        assert!(unpacked(&packed(b"")).unwrap().is_empty());
        let message = |body: &[u8]| format!("{:#}", unpacked(body).unwrap_err());
        assert!(message(b"{}").contains("not what the recipe"));
        assert!(message(&packed(b"{\"a\":1}")[..12]).contains("not what the recipe"));
        assert!(message(&packed(b"{}\nnothing")).starts_with("line 2 is no JSON"));
        let bomb = packed(&vec![b' '; usize::try_from(MAX_BYTES).unwrap() + 1]);
        assert!(message(&bomb).contains("more than"));
    }
}
