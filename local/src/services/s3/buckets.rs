//! The buckets of the account: where they are, since when, and their settings.

use std::collections::BTreeMap;

use axum::response::Response;
use http::HeaderValue;
use parking_lot::Mutex;
use streamkit_wire::clock;
use streamkit_wire::protocol::elements;

use super::refusal::Refusal;
use super::request::Asked;
use super::settings::Settings;
use super::xml::{Xml, empty, response, text_of};

/// The region that has no location constraint.
const GLOBAL: &str = "us-east-1";

/// AWS's default since 2024; Terraform waits until it reads it back.
const SIZE_RULE: (&str, HeaderValue) =
    ("x-amz-transition-default-minimum-object-size", HeaderValue::from_static("all_storage_classes_128K"));

/// All buckets.
pub(super) struct Buckets {
    account: String,
    /// Where unsigned requests make buckets that they name no region for.
    region: String,
    all: Mutex<BTreeMap<String, Bucket>>,
}

struct Bucket {
    region: String,
    created_ms: i64,
    settings: Settings,
}

type Answer = Result<Response, Refusal>;

impl Buckets {
    pub(super) fn new(account: &str, region: &str) -> Self {
        Self { account: account.to_owned(), region: region.to_owned(), all: Mutex::default() }
    }

    /// Makes a bucket. `signed` is the region that the request is signed for.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
    pub(super) fn create(&self, asked: &Asked, signed: Option<&str>) -> Answer {
        let name = &asked.bucket;
        let body = asked.body_text()?;
        let wanted = text_of(body, "LocationConstraint").map(|wanted| wanted.trim().to_owned());
        let wanted = wanted.filter(|wanted| !wanted.is_empty());
        check_location(signed, wanted.as_deref())?;
        if !is_bucket_name(name) {
            return Err(
                Refusal::new(400, "InvalidBucketName", "The specified bucket is not valid.").with("BucketName", name)
            );
        }
        let region = wanted.as_deref().or(signed).unwrap_or(&self.region);
        self.check_namespace(asked, region)?;
        let mut all = self.all.lock();
        if let Some(there) = all.get(name) {
            // Only us-east-1 has kept what it always did: it answers as if the bucket were new.
            if there.region != GLOBAL || region != GLOBAL {
                let message = "Your previous request to create the named bucket succeeded and you already own it.";
                return Err(Refusal::new(409, "BucketAlreadyOwnedByYou", message).with("BucketName", name));
            }
        } else {
            let mut settings = Settings::new();
            if let Some(tags) = elements(body, "Tags").next().filter(|tags| !tags.is_empty()) {
                settings.set("BucketTagging", &format!("<TagSet>{tags}</TagSet>"));
            }
            if let Some(ownership) = asked.header("x-amz-object-ownership") {
                settings.set(
                    "BucketOwnershipControls",
                    &format!("<Rule><ObjectOwnership>{ownership}</ObjectOwnership></Rule>"),
                );
            }
            if asked.header("x-amz-bucket-object-lock-enabled").is_some_and(|locks| locks.eq_ignore_ascii_case("true"))
            {
                settings.set("BucketVersioning", "<Status>Enabled</Status>");
                settings.set("ObjectLockConfiguration", "<ObjectLockEnabled>Enabled</ObjectLockEnabled>");
            }
            let bucket = Bucket { region: region.to_owned(), created_ms: clock::now_ms(), settings };
            all.insert(name.clone(), bucket);
        }
        let mut answer = empty(200);
        if let Ok(location) = HeaderValue::from_str(&format!("/{name}")) {
            answer.headers_mut().insert(http::header::LOCATION, location);
        }
        Ok(answer)
    }

    /// Names of the account-regional namespace end in account, region and `-an`, and no others do.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/gpbucketnamespaces.html>
    fn check_namespace(&self, asked: &Asked, region: &str) -> Result<(), Refusal> {
        let is_regional = asked.header("x-amz-bucket-namespace") == Some("account-regional");
        let has_end = asked.bucket.ends_with(&format!("-{}-{region}-an", self.account));
        if is_regional == has_end && (has_end || !asked.bucket.ends_with("-an")) {
            return Ok(());
        }
        Err(Refusal::new(400, "InvalidBucketName", "The specified bucket is not valid.")
            .with("BucketName", &asked.bucket))
    }

    /// Runs an operation on a bucket that is there, other than its deletion, or lists them all.
    pub(super) fn run(&self, operation: &str, asked: &Asked) -> Answer {
        if operation == "ListBuckets" {
            return Ok(self.list(asked));
        }
        self.with(&asked.bucket, |bucket| match operation {
            "HeadBucket" => {
                let mut answer = empty(200);
                if let Ok(region) = HeaderValue::from_str(&bucket.region) {
                    answer.headers_mut().insert("x-amz-bucket-region", region);
                }
                answer.headers_mut().insert("x-amz-access-point-alias", HeaderValue::from_static("false"));
                Ok(answer)
            }
            "GetBucketLocation" => {
                let region = if bucket.region == GLOBAL { "" } else { &bucket.region };
                Ok(Xml::new("LocationConstraint").content(region).answer())
            }
            "GetBucketAcl" => Ok(self.acl()),
            "PutBucketAcl" => put_acl(asked),
            _ => setting(bucket, operation, asked),
        })
    }

    /// Forgets a bucket.
    pub(super) fn delete(&self, name: &str) -> Answer {
        self.all.lock().remove(name).ok_or_else(|| Refusal::no_such_bucket(name))?;
        Ok(empty(204))
    }

    /// What is in a setting's document, or an error.
    pub(super) fn setting(&self, name: &str, operation: &str, body: &str) -> Result<String, Refusal> {
        self.with(name, |bucket| {
            let called = bucket.settings.call(operation, body.as_bytes());
            called.unwrap_or_else(|| Err(not_implemented(operation)))
        })
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Bucket) -> Result<T, Refusal>) -> Result<T, Refusal> {
        act(self.all.lock().get_mut(name).ok_or_else(|| Refusal::no_such_bucket(name))?)
    }

    fn list(&self, asked: &Asked) -> Response {
        let (prefix, region) = (asked.said("prefix").unwrap_or_default(), asked.said("bucket-region"));
        let after = asked.said("continuation-token").unwrap_or_default();
        let size = asked.said("max-buckets").and_then(|size| size.parse().ok()).unwrap_or(10_000);
        let all = self.all.lock();
        let mut found = all.iter().filter(|(name, bucket)| {
            name.starts_with(prefix) && name.as_str() > after && region.is_none_or(|region| region == bucket.region)
        });
        let shown: Vec<_> = found.by_ref().take(size).collect();
        let more = found.next().is_some();
        let mut xml = Xml::new("ListAllMyBucketsResult");
        xml.nested("Owner", |xml| {
            xml.text("ID", &self.account);
        });
        xml.nested("Buckets", |xml| {
            for (name, bucket) in &shown {
                xml.nested("Bucket", |xml| {
                    xml.text("Name", name).text("CreationDate", &clock::iso(bucket.created_ms));
                    xml.text("BucketRegion", &bucket.region);
                });
            }
        });
        xml.some("Prefix", asked.said("prefix"));
        if let Some((last, _)) = shown.last().filter(|_| more) {
            xml.text("ContinuationToken", last);
        }
        xml.answer()
    }

    /// All is the owner's, which is all that buckets say whose ACLs are switched off.
    fn acl(&self) -> Response {
        let mut xml = Xml::new("AccessControlPolicy");
        xml.nested("Owner", |xml| {
            xml.text("ID", &self.account);
        });
        let grantee = "<Grantee xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"CanonicalUser\">";
        let grant = format!(
            "<AccessControlList><Grant>{grantee}<ID>{}</ID></Grantee><Permission>FULL_CONTROL</Permission></Grant></AccessControlList>",
            self.account
        );
        xml.elements(&grant).answer()
    }
}

fn setting(bucket: &mut Bucket, operation: &str, asked: &Asked) -> Answer {
    let called = bucket.settings.call(operation, &asked.body).ok_or_else(|| not_implemented(operation))?;
    let document = called?;
    let deletes = operation.starts_with("Delete") || operation == "PutBucketPolicy";
    let mut answer = response(if deletes { 204 } else { 200 }, document.clone().into());
    if !document.is_empty() {
        let kind = if document.starts_with('{') { "application/json" } else { "application/xml" };
        answer.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if operation.ends_with("BucketLifecycleConfiguration") {
        answer.headers_mut().insert(SIZE_RULE.0, SIZE_RULE.1);
    }
    Ok(answer)
}

/// Since ACLs are switched off for new buckets, there is none to put but the owner's own.
fn put_acl(asked: &Asked) -> Answer {
    if matches!(asked.header("x-amz-acl"), Some("private" | "bucket-owner-full-control")) {
        return Ok(empty(200));
    }
    Err(Refusal::new(400, "AccessControlListNotSupported", "The bucket does not allow ACLs"))
}

/// A new bucket must be wanted where the request is sent to; only us-east-1 makes buckets of any region.
fn check_location(signed: Option<&str>, wanted: Option<&str>) -> Result<(), Refusal> {
    match (signed, wanted) {
        (_, Some(GLOBAL)) => {
            Err(Refusal::new(400, "InvalidLocationConstraint", "The specified location-constraint is not valid"))
        }
        (None | Some(GLOBAL), _) => Ok(()),
        (Some(signed), Some(wanted)) if signed == wanted => Ok(()),
        (_, wanted) => Err(Refusal::new(
            400,
            "IllegalLocationConstraintException",
            format!(
                "The {} location constraint is incompatible for the region specific endpoint this request was sent to.",
                wanted.unwrap_or("unspecified")
            ),
        )),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn is_bucket_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(legal)
        && end(bytes.first())
        && end(bytes.last())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !name.starts_with("xn--")
}

fn not_implemented(operation: &str) -> Refusal {
    let message = format!("The embedded AWS does not implement S3 {operation} on buckets");
    Refusal::new(501, "NotImplemented", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_are_those_that_dns_has() {
        for (name, is_one) in [
            ("abc", true),
            ("shop-audit-000000000000-eu-west-1", true),
            ("a.b.c", true),
            ("ab", false),
            ("Shop", false),
            ("shop_audit", false),
            ("-shop", false),
            ("shop-", false),
            ("a..b", false),
            ("192.168.5.4", false),
            ("xn--shop", false),
        ] {
            assert_eq!(is_bucket_name(name), is_one, "{name}");
        }
    }
}
