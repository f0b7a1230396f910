//! Streams, tables, buckets and keys.

use serde_json::{Value, json};

use super::{Subject, Template, word};
use crate::aws::DELETION_WINDOW_TAG;
use crate::export::live::Details;
use crate::resources::{
    Bucket, Consumer, Key, KeyPurpose, LIFECYCLE_RULE, Resource as _, Stream, Table, key_alias, storage_class,
};
use crate::spec::{Autoscaling, Billing, BucketNamespace, Encryption, MebiBytes, StreamMode};

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

impl Template<'_> {
    pub(super) fn stream(&mut self, subject: &Subject<'_>, stream: &Stream) {
        let is_provisioned = stream.mode == StreamMode::Provisioned;
        let mut properties = json!({
            "Name": stream.name,
            "RetentionPeriodHours": stream.retention.0 / HOUR,
            "StreamModeDetails": { "StreamMode": if is_provisioned { "PROVISIONED" } else { "ON_DEMAND" } },
            "Tags": subject.tag_list(),
        });
        if is_provisioned {
            properties["ShardCount"] = json!(stream.shards);
        }
        let key = match &stream.encryption {
            Encryption::None => None,
            Encryption::AwsManaged => Some(json!("alias/aws/kinesis")),
            Encryption::Key(key) => Some(self.references.string(key)),
        };
        if let Some(key) = key {
            properties["StreamEncryption"] = json!({ "EncryptionType": "KMS", "KeyId": key });
        }
        if stream.max_record_size != MebiBytes(1) {
            properties["MaxRecordSizeInKiB"] = json!(stream.max_record_size.kib());
        }
        let kind = "AWS::Kinesis::Stream";
        self.put(&subject.id, kind, properties, &[]);
        self.import(subject, &subject.id, kind, json!({ "Name": stream.name }));
    }

    pub(super) fn consumer(&mut self, subject: &Subject<'_>, consumer: &Consumer) {
        let properties = json!({
            "ConsumerName": consumer.name,
            "StreamARN": self.references.string(&consumer.stream),
            "Tags": subject.tag_list(),
        });
        let kind = "AWS::Kinesis::StreamConsumer";
        self.put(&subject.id, kind, properties, &[]);
        if let Some(seen) = subject.live.and_then(|live| live.seen.as_ref()) {
            self.import(subject, &subject.id, kind, json!({ "ConsumerARN": seen.arn }));
        }
    }

    pub(super) fn table(&mut self, subject: &Subject<'_>, table: &Table) {
        let keys = [Some((&table.partition_key, "HASH")), table.sort_key.as_ref().map(|key| (key, "RANGE"))];
        let keys: Vec<_> = keys.into_iter().flatten().collect();
        let attribute = |(key, _): &(&crate::spec::Key, &str)| json!({ "AttributeName": key.name, "AttributeType": format!("{:?}", key.kind) });
        let element = |(key, kind): &(&crate::spec::Key, &str)| json!({ "AttributeName": key.name, "KeyType": kind });
        let mut properties = json!({
            "TableName": table.name,
            "AttributeDefinitions": keys.iter().map(attribute).collect::<Vec<_>>(),
            "KeySchema": keys.iter().map(element).collect::<Vec<_>>(),
        });
        if let Some(attribute) = &table.ttl {
            properties["TimeToLiveSpecification"] = json!({ "AttributeName": attribute, "Enabled": true });
        }
        if let Some(view) = table.desired().get("stream").filter(|view| !view.is_null()) {
            properties["StreamSpecification"] = json!({ "StreamViewType": view });
        }
        match table.billing {
            Billing::OnDemand => properties["BillingMode"] = json!("PAY_PER_REQUEST"),
            Billing::Provisioned { read, write, .. } => {
                properties["BillingMode"] = json!("PROVISIONED");
                properties["ProvisionedThroughput"] = json!({ "ReadCapacityUnits": read, "WriteCapacityUnits": write });
            }
        }
        let own = json!({
            "PointInTimeRecoverySpecification": { "PointInTimeRecoveryEnabled": table.point_in_time_recovery },
            "DeletionProtectionEnabled": table.protect,
        });
        let replicas: Vec<Value> = self.replicas(subject, &own);
        let kind = if replicas.is_empty() { "AWS::DynamoDB::Table" } else { "AWS::DynamoDB::GlobalTable" };
        if replicas.is_empty() {
            properties["PointInTimeRecoverySpecification"] = own["PointInTimeRecoverySpecification"].clone();
            properties["DeletionProtectionEnabled"] = own["DeletionProtectionEnabled"].clone();
            properties["Tags"] = subject.tag_list();
        } else {
            properties["Replicas"] = json!(replicas);
        }
        self.put(&subject.id, kind, properties, &[]);
        self.import(subject, &subject.id, kind, json!({ "TableName": table.name }));
        if let Billing::Provisioned { read, write, autoscaling: Some(scaling) } = table.billing {
            self.scaling(subject, table, (read, write), scaling);
        }
    }

    /// The global table's parts, its own region's first; none for a table in one region.
    fn replicas(&self, subject: &Subject<'_>, own: &Value) -> Vec<Value> {
        let start = format!("{}@", subject.node.id);
        let others: Vec<_> = self.pipeline.nodes.iter().filter(|node| node.id.starts_with(&start)).collect();
        if others.is_empty() {
            return Vec::new();
        }
        let part = |region: &str, tags: Value| {
            let mut part = own.clone();
            part["Region"] = json!(region);
            part["Tags"] = tags;
            part
        };
        let tags = |node: &crate::pipeline::Node| {
            node.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect::<Value>()
        };
        let others = others.into_iter().filter_map(|node| Some(part(node.resource.region()?, tags(node))));
        std::iter::once(part(&subject.aws.region, subject.tag_list())).chain(others).collect()
    }

    fn scaling(&mut self, subject: &Subject<'_>, table: &Table, least: (i64, i64), scaling: Autoscaling) {
        for (kind, least, most) in [("Read", least.0, scaling.max_read), ("Write", least.1, scaling.max_write)] {
            let target = format!("{}{kind}Target", subject.id);
            let dimension = format!("dynamodb:table:{kind}CapacityUnits");
            let resource = format!("table/{}", table.name);
            let properties = json!({
                "ServiceNamespace": "dynamodb",
                "ResourceId": { "Fn::Sub": format!("table/${{{}}}", subject.id) },
                "ScalableDimension": dimension,
                "MinCapacity": least,
                "MaxCapacity": most,
            });
            let of = "AWS::ApplicationAutoScaling::ScalableTarget";
            self.put(&target, of, properties, &[]);
            let identifier =
                json!({ "ResourceId": resource, "ScalableDimension": dimension, "ServiceNamespace": "dynamodb" });
            self.import(subject, &target, of, identifier);
            let metric = format!("DynamoDB{kind}CapacityUtilization");
            let policies: &[_] = match subject.live.map(|live| &live.details) {
                Some(Details::Table(policies)) => policies,
                _ => &[],
            };
            let present = policies.iter().find(|(of, _)| *of == dimension).map(|(_, name)| name.clone());
            let properties = json!({
                "PolicyName": present.unwrap_or_else(|| format!("{metric}:{resource}")),
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": { "Ref": target },
                "TargetTrackingScalingPolicyConfiguration": {
                    "TargetValue": scaling.target,
                    "PredefinedMetricSpecification": { "PredefinedMetricType": metric },
                },
            });
            self.put(
                &format!("{}{kind}Policy", subject.id),
                "AWS::ApplicationAutoScaling::ScalingPolicy",
                properties,
                &[],
            );
        }
    }

    pub(super) fn bucket(&mut self, subject: &Subject<'_>, bucket: &Bucket) {
        let default = match &bucket.encryption {
            None | Some(Encryption::None) => json!({ "SSEAlgorithm": "AES256" }),
            Some(Encryption::AwsManaged) => json!({ "SSEAlgorithm": "aws:kms" }),
            Some(Encryption::Key(key)) => {
                json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self.references.string(key) })
            }
        };
        let is_kms = default["SSEAlgorithm"] != "AES256";
        let mut properties = json!({
            "BucketName": bucket.name,
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true,
            },
            "OwnershipControls": { "Rules": [{ "ObjectOwnership": "BucketOwnerEnforced" }] },
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{ "ServerSideEncryptionByDefault": default, "BucketKeyEnabled": is_kms }],
            },
            "Tags": subject.tag_list(),
        });
        if bucket.versioning {
            properties["VersioningConfiguration"] = json!({ "Status": "Enabled" });
        }
        if bucket.expire.is_some() || bucket.transition.is_some() {
            let mut rule = json!({ "Id": LIFECYCLE_RULE, "Status": "Enabled" });
            if let Some(age) = bucket.expire {
                rule["ExpirationInDays"] = json!(age.0 / DAY);
                if bucket.versioning {
                    rule["NoncurrentVersionExpiration"] = json!({ "NoncurrentDays": age.0 / DAY });
                }
            }
            if let Some(transition) = bucket.transition {
                let class = storage_class(transition.to).as_str().to_owned();
                rule["Transitions"] = json!([{ "StorageClass": class, "TransitionInDays": transition.after.0 / DAY }]);
            }
            properties["LifecycleConfiguration"] = json!({ "Rules": [rule] });
        }
        if bucket.namespace == BucketNamespace::AccountRegional {
            self.note(subject, "the bucket's namespace, so CloudFormation can't make the bucket anew under this name");
        }
        let kind = "AWS::S3::Bucket";
        self.put(&subject.id, kind, properties, &[]);
        self.import(subject, &subject.id, kind, json!({ "BucketName": bucket.name }));
        let policy = format!("{}Policy", subject.id);
        let document = self.references.document(&bucket.policy());
        let kind = "AWS::S3::BucketPolicy";
        self.put(&policy, kind, json!({ "Bucket": { "Ref": subject.id }, "PolicyDocument": document }), &[]);
        self.import(subject, &policy, kind, json!({ "Bucket": bucket.name }));
    }

    pub(super) fn key(&mut self, subject: &Subject<'_>, key: &Key) {
        let mut properties = json!({
            "KeyPolicy": self.references.document(&key.document(&subject.aws)),
            "Tags": subject.tag_list(),
        });
        match key.purpose {
            KeyPurpose::Encryption => properties["EnableKeyRotation"] = json!(key.rotation),
            KeyPurpose::Index => {
                properties["KeyUsage"] = json!("GENERATE_VERIFY_MAC");
                properties["KeySpec"] = json!("HMAC_256");
            }
        }
        if let Some(days) = subject.node.tags.get(DELETION_WINDOW_TAG).and_then(|days| days.parse::<i64>().ok()) {
            properties["PendingWindowInDays"] = json!(days);
        }
        let id = match subject.live.map(|live| &live.details) {
            Some(Details::Key { id, description }) => {
                properties["Description"] = json!(description);
                Some(id)
            }
            _ => None,
        };
        let kind = "AWS::KMS::Key";
        self.put(&subject.id, kind, properties, &[]);
        if let Some(id) = id {
            self.import(subject, &subject.id, kind, json!({ "KeyId": id }));
        }
        let kind = "AWS::KMS::Alias";
        let alias = format!("{}Alias", subject.id);
        let name = key_alias(&key.name);
        self.put(&alias, kind, json!({ "AliasName": name, "TargetKeyId": { "Ref": subject.id } }), &[]);
        self.import(subject, &alias, kind, json!({ "AliasName": name }));
    }

    /// The logical id of a section's table in this template.
    pub(super) fn table_id(section: &str) -> String {
        word(section) + "Table"
    }
}
