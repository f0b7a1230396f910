//! The settings of buckets: each is a document that is kept as it was put, and given back.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html>

use std::collections::BTreeMap;

use super::refusal::Refusal;

/// What a bucket says of a setting that nobody made.
enum Unset {
    /// An error with this code and message.
    Missing(&'static str, &'static str),
    /// What is in the root element.
    Default(&'static str),
}

/// One setting.
struct Setting {
    /// As in the names of its operations: `Get` or `Put` and this.
    name: &'static str,
    /// The root element of its document; a bucket policy is JSON.
    root: &'static str,
    unset: Unset,
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-encryption-faq.html>
const ENCRYPTION: &str = "<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>false</BucketKeyEnabled></Rule>";
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/create-bucket-faq.html>
const BLOCK: &str = "<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>";
const OWNER: &str = "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>";

const SETTINGS: [Setting; 16] = [
    default("BucketVersioning", "VersioningConfiguration", ""),
    default("BucketEncryption", "ServerSideEncryptionConfiguration", ENCRYPTION),
    missing(
        "PublicAccessBlock",
        "PublicAccessBlockConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    missing("BucketPolicy", "", "NoSuchBucketPolicy", "The bucket policy does not exist"),
    missing(
        "BucketLifecycleConfiguration",
        "LifecycleConfiguration",
        "NoSuchLifecycleConfiguration",
        "The lifecycle configuration does not exist",
    ),
    missing("BucketTagging", "Tagging", "NoSuchTagSet", "The TagSet does not exist"),
    default("BucketNotificationConfiguration", "NotificationConfiguration", ""),
    missing(
        "BucketOwnershipControls",
        "OwnershipControls",
        "OwnershipControlsNotFoundError",
        "The bucket ownership controls were not found",
    ),
    missing("BucketCors", "CORSConfiguration", "NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    missing(
        "BucketWebsite",
        "WebsiteConfiguration",
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    ),
    missing(
        "BucketReplication",
        "ReplicationConfiguration",
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    ),
    default("BucketLogging", "BucketLoggingStatus", ""),
    default("BucketAccelerateConfiguration", "AccelerateConfiguration", ""),
    default("BucketRequestPayment", "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"),
    missing(
        "ObjectLockConfiguration",
        "ObjectLockConfiguration",
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
    default("BucketPolicyStatus", "PolicyStatus", "<IsPublic>false</IsPublic>"),
];

const fn default(name: &'static str, root: &'static str, content: &'static str) -> Setting {
    Setting { name, root, unset: Unset::Default(content) }
}

const fn missing(name: &'static str, root: &'static str, code: &'static str, message: &'static str) -> Setting {
    Setting { name, root, unset: Unset::Missing(code, message) }
}

/// The settings of one bucket.
#[derive(Debug)]
pub(super) struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// Those of a new bucket: what is public is blocked, and all is its owner's.
    pub(super) fn new() -> Self {
        let mut settings = Self::none();
        settings.set("PublicAccessBlock", BLOCK);
        settings.set("BucketOwnershipControls", OWNER);
        settings
    }

    /// No settings.
    pub(super) fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets what is in the root element.
    pub(super) fn set(&mut self, name: &'static str, content: &str) {
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) {
            self.0.insert(name, document(setting.root, content));
        }
    }

    /// Runs an operation: the document that it answers with. `None` for one that is about no setting.
    pub(super) fn call(&mut self, operation: &str, body: &[u8]) -> Option<Result<String, Refusal>> {
        // The deletion's name leaves out what the others have.
        let operation =
            if operation == "DeleteBucketLifecycle" { "DeleteBucketLifecycleConfiguration" } else { operation };
        let named = |verb: &str| operation.strip_prefix(verb);
        let (name, verb) = [("Get", 'g'), ("Put", 'p'), ("Delete", 'd')]
            .into_iter()
            .find_map(|(prefix, verb)| Some((named(prefix)?, verb)))?;
        let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
        Some(match verb {
            'g' => self.get(setting),
            'p' => self.put(setting, body).map(|()| String::new()),
            _ => {
                self.0.remove(setting.name);
                Ok(String::new())
            }
        })
    }

    fn get(&self, setting: &Setting) -> Result<String, Refusal> {
        match (self.0.get(setting.name), &setting.unset) {
            (Some(document), _) => Ok(document.clone()),
            (None, Unset::Default(content)) => Ok(document(setting.root, content)),
            (None, Unset::Missing(code, message)) => Err(Refusal::new(404, code, *message)),
        }
    }

    fn put(&mut self, setting: &Setting, body: &[u8]) -> Result<(), Refusal> {
        let text = std::str::from_utf8(body).map_err(|_| Refusal::malformed_xml())?;
        if setting.root.is_empty() {
            serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text).map_err(|_| {
                Refusal::new(400, "MalformedPolicy", "Policies must be valid JSON and the first byte must be '{'")
            })?;
            self.0.insert(setting.name, text.to_owned());
            return Ok(());
        }
        let content =
            streamkit_wire::protocol::elements(text, setting.root).next().ok_or_else(Refusal::malformed_xml)?;
        self.0.insert(setting.name, document(setting.root, content));
        Ok(())
    }
}

/// A document in S3's namespace.
fn document(root: &str, content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{content}</{root}>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_given_back_as_it_was_put_until_it_is_deleted() {
        let mut settings = Settings::new();
        let code =
            |answer: Option<Result<String, Refusal>>| answer.map(|answer| answer.err().map(|refusal| refusal.code));
        assert_eq!(code(settings.call("GetBucketTagging", b"")), Some(Some("NoSuchTagSet")));
        let tags = b"<?xml version=\"1.0\"?><Tagging xmlns=\"x\"><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>";
        assert_eq!(code(settings.call("PutBucketTagging", tags)), Some(None));
        let got = settings.call("GetBucketTagging", b"").expect("a setting").expect("tags");
        assert!(got.ends_with("<TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"), "{got}");
        assert_eq!(code(settings.call("DeleteBucketTagging", b"")), Some(None));
        assert_eq!(code(settings.call("GetBucketTagging", b"")), Some(Some("NoSuchTagSet")));
        assert_eq!(code(settings.call("PutBucketTagging", b"<Other/>")), Some(Some("MalformedXML")));
        assert_eq!(code(settings.call("PutBucketPolicy", b"no policy")), Some(Some("MalformedPolicy")));
        assert_eq!(code(settings.call("GetPublicAccessBlock", b"")), Some(None));
        assert_eq!(code(settings.call("DeletePublicAccessBlock", b"")), Some(None));
        assert_eq!(
            code(settings.call("GetPublicAccessBlock", b"")),
            Some(Some("NoSuchPublicAccessBlockConfiguration"))
        );
        let encryption = settings.call("GetBucketEncryption", b"").expect("a setting").expect("the default");
        assert!(encryption.contains("AES256"), "{encryption}");
        assert!(settings.call("HeadBucket", b"").is_none());
    }
}
