//! Callers with keys of IAM users and STS sessions are held to their policies.

use serde_json::{Value, json};

use super::{Answer, Aws};

/// Access key and, for temporary ones, session token.
struct Keys {
    id: String,
    token: Option<String>,
}

fn between<'a>(xml: &'a str, tag: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("no {tag}: {xml}"));
    rest.split_once("</").expect("an end").0
}

impl Keys {
    fn of(xml: &str) -> Self {
        let token = xml.contains("<SessionToken>").then(|| between(xml, "SessionToken").to_owned());
        Self { id: between(xml, "AccessKeyId").to_owned(), token }
    }

    async fn send(&self, aws: &Aws, method: &str, path: &str, service: &str, target: &str, body: &str) -> Answer {
        let id = &self.id;
        let scope = format!("AWS4-HMAC-SHA256 Credential={id}/20260101/eu-west-1/{service}/aws4_request, Signature=0");
        let mut headers = vec![("Authorization", scope.as_str())];
        if !target.is_empty() {
            headers.extend([("X-Amz-Target", target), ("Content-Type", "application/x-amz-json-1.1")]);
        }
        if let Some(token) = &self.token {
            headers.push(("X-Amz-Security-Token", token));
        }
        aws.send(method, path, &headers, body.as_bytes()).await
    }

    async fn json(&self, aws: &Aws, service: &str, target: &str, body: Value) -> Answer {
        self.send(aws, "POST", "/", service, target, &body.to_string()).await
    }

    async fn query(&self, aws: &Aws, service: &str, form: &str) -> Answer {
        self.send(aws, "POST", "/", service, "", form).await
    }
}

async fn iam(aws: &Aws, form: &str) -> String {
    let answer = aws.query("iam", &format!("{form}&Version=2010-05-08")).await;
    assert_eq!(answer.status, 200, "{form}: {}", answer.body);
    answer.body
}

async fn user(aws: &Aws, name: &str) -> Keys {
    iam(aws, &format!("Action=CreateUser&UserName={name}")).await;
    Keys::of(&iam(aws, &format!("Action=CreateAccessKey&UserName={name}")).await)
}

fn policy(effect: &str, action: &str, resource: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{ "Effect": effect, "Action": action, "Resource": resource }] })
}

const IDENTITY: &str = "Action=GetCallerIdentity&Version=2011-06-15";

#[tokio::test]
async fn keys_of_a_user_are_held_to_its_policies() {
    let aws = Aws::start().await;
    let keys = user(&aws, "ada").await;
    let who = keys.query(&aws, "sts", IDENTITY).await;
    assert!(who.body.contains("<Arn>arn:aws:iam::000000000000:user/ada</Arn>"), "{}", who.body);

    let create = json!({ "StreamName": "s", "ShardCount": 1 });
    let refused = keys.json(&aws, "kinesis", "Kinesis_20131202.CreateStream", create.clone()).await;
    assert_eq!((refused.status, refused.json()["__type"].clone()), (400, json!("AccessDeniedException")));
    assert_eq!(
        refused.json()["message"],
        "User: arn:aws:iam::000000000000:user/ada is not authorized to perform: kinesis:CreateStream on resource: arn:aws:kinesis:eu-west-1:000000000000:stream/s because no identity-based policy allows the kinesis:CreateStream action"
    );
    // What a group is given, its members have; AWS's own policies too.
    iam(&aws, "Action=CreateGroup&GroupName=makers").await;
    iam(&aws, "Action=AddUserToGroup&GroupName=makers&UserName=ada").await;
    let full = "arn:aws:iam::aws:policy/AmazonKinesisFullAccess";
    iam(&aws, &format!("Action=AttachGroupPolicy&GroupName=makers&PolicyArn={full}")).await;
    assert_eq!(keys.json(&aws, "kinesis", "Kinesis_20131202.CreateStream", create).await.status, 200);
    let deny = policy("Deny", "kinesis:Delete*", "*");
    iam(&aws, &format!("Action=PutUserPolicy&UserName=ada&PolicyName=keep&PolicyDocument={deny}")).await;
    let delete = json!({ "StreamName": "s" });
    let refused = keys.json(&aws, "kinesis", "Kinesis_20131202.DeleteStream", delete).await;
    assert!(refused.body.contains("with an explicit deny in an identity-based policy"), "{}", refused.body);

    for (service, form, code) in [
        ("sns", "Action=ListTopics&Version=2010-03-31", "AuthorizationError"),
        ("iam", "Action=ListUsers&Version=2010-05-08", "AccessDenied"),
    ] {
        let refused = keys.query(&aws, service, form).await;
        assert_eq!((refused.status, between(&refused.body, "Code")), (403, code), "{}", refused.body);
    }
    let refused = keys.send(&aws, "PUT", "/bucket", "s3", "", "").await;
    assert_eq!((refused.status, between(&refused.body, "Code")), (403, "AccessDenied"));

    iam(&aws, &format!("Action=DeleteAccessKey&UserName=ada&AccessKeyId={}", keys.id)).await;
    let refused = keys.query(&aws, "sts", IDENTITY).await;
    assert_eq!((refused.status, between(&refused.body, "Code")), (403, "InvalidClientTokenId"));
    aws.stop().await;
}

#[tokio::test]
async fn boundaries_limit_and_resource_policies_allow() {
    let aws = Aws::start().await;
    let keys = user(&aws, "bob").await;
    let queue = aws.ok("AmazonSQS.CreateQueue", json!({ "QueueName": "q" })).await["QueueUrl"].clone();
    let message = json!({ "QueueUrl": queue, "MessageBody": "x" });
    let sent = async || keys.json(&aws, "sqs", "AmazonSQS.SendMessage", message.clone()).await;
    assert_eq!(sent().await.status, 403);
    let arn = "arn:aws:sqs:eu-west-1:000000000000:q";
    let mut of_queue = policy("Allow", "sqs:SendMessage", arn);
    of_queue["Statement"][0]["Principal"] = json!({ "AWS": "arn:aws:iam::000000000000:user/bob" });
    let attributes = |policy: String| json!({ "QueueUrl": queue, "Attributes": { "Policy": policy } });
    aws.ok("AmazonSQS.SetQueueAttributes", attributes(of_queue.to_string())).await;
    assert_eq!(sent().await.status, 200);
    of_queue["Statement"][0]["Effect"] = json!("Deny");
    aws.ok("AmazonSQS.SetQueueAttributes", attributes(of_queue.to_string())).await;
    let all = policy("Allow", "*", "*");
    iam(&aws, &format!("Action=PutUserPolicy&UserName=bob&PolicyName=all&PolicyDocument={all}")).await;
    let refused = sent().await;
    assert!(refused.body.contains("with an explicit deny in a resource-based policy"), "{}", refused.body);
    aws.ok("AmazonSQS.SetQueueAttributes", attributes(String::new())).await;
    assert_eq!(sent().await.status, 200);
    let boundary = policy("Allow", "kinesis:*", "*");
    let made = iam(&aws, &format!("Action=CreatePolicy&PolicyName=limit&PolicyDocument={boundary}")).await;
    let boundary = between(&made, "Arn");
    iam(&aws, &format!("Action=PutUserPermissionsBoundary&UserName=bob&PermissionsBoundary={boundary}")).await;
    let refused = sent().await;
    assert!(
        refused.body.contains("because no permissions boundary allows the sqs:sendmessage action"),
        "{}",
        refused.body
    );
    aws.stop().await;
}

#[tokio::test]
async fn sessions_of_a_role_belong_to_who_it_trusts_and_to_their_policies() {
    let aws = Aws::start().await;
    let keys = user(&aws, "eve").await;
    let trusting = |principal: &str| json!({ "Statement": [{ "Effect": "Allow", "Principal": { "AWS": principal }, "Action": "sts:AssumeRole" }] });
    let trust = trusting("arn:aws:iam::000000000000:user/eve");
    iam(&aws, &format!("Action=CreateRole&RoleName=worker&Path=/team/&AssumeRolePolicyDocument={trust}")).await;
    let administrator = "arn:aws:iam::aws:policy/AdministratorAccess";
    iam(&aws, &format!("Action=AttachRolePolicy&RoleName=worker&PolicyArn={administrator}")).await;
    let assume = |more: &str| {
        format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/team/worker&RoleSessionName=me{more}"
        )
    };
    let session = Keys::of(&keys.query(&aws, "sts", &assume("")).await.body);
    let who = session.query(&aws, "sts", IDENTITY).await.body;
    assert!(who.contains("<Arn>arn:aws:sts::000000000000:assumed-role/worker/me</Arn>"), "{who}");
    assert!(between(&who, "UserId").starts_with("AROA") && between(&who, "UserId").ends_with(":me"), "{who}");
    let list = async |keys: &Keys| keys.json(&aws, "sqs", "AmazonSQS.ListQueues", json!({})).await;
    assert_eq!(list(&session).await.status, 200);

    let limited = assume(&format!("&Policy={}", policy("Allow", "sns:*", "*")));
    let limited = Keys::of(&keys.query(&aws, "sts", &limited).await.body);
    let refused = list(&limited).await;
    assert!(refused.body.contains("because no session policy allows the sqs:listqueues action"), "{}", refused.body);

    let nobody = Keys { token: None, id: session.id.clone() };
    assert_eq!(list(&nobody).await.json()["__type"], "InvalidClientTokenId");
    let trust = trusting("arn:aws:iam::000000000000:user/other");
    iam(&aws, &format!("Action=UpdateAssumeRolePolicy&RoleName=worker&PolicyDocument={trust}")).await;
    let refused = keys.query(&aws, "sts", &assume("")).await;
    assert_eq!(
        between(&refused.body, "Message"),
        "User: arn:aws:iam::000000000000:user/eve is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::000000000000:role/team/worker"
    );
    aws.stop().await;
}

#[tokio::test]
async fn keys_that_nobody_made_stay_free() {
    let aws = Aws::start().await;
    for id in ["test", "local", "AKIAIOSFODNN7EXAMPLE"] {
        let keys = Keys { id: id.to_owned(), token: None };
        let who = keys.query(&aws, "sts", IDENTITY).await.body;
        assert!(who.contains("<Arn>arn:aws:iam::000000000000:root</Arn>"), "{who}");
        assert_eq!(keys.json(&aws, "sqs", "AmazonSQS.ListQueues", json!({})).await.status, 200);
    }
    aws.stop().await;
}

#[tokio::test]
async fn a_key_is_used_by_whom_its_policy_and_the_caller_s_own_allow() {
    let aws = Aws::start().await;
    let (ada, eve) = (user(&aws, "ada").await, user(&aws, "eve").await);
    let root = json!({ "AWS": "arn:aws:iam::000000000000:root" });
    let ada_alone = json!({ "ArnEquals": { "aws:PrincipalArn": "arn:aws:iam::000000000000:user/ada" } });
    let key_policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": root, "Action": ["kms:Describe*", "kms:Put*"], "Resource": "*" },
        { "Effect": "Allow", "Principal": root, "Action": "kms:GenerateDataKey", "Resource": "*", "Condition": ada_alone },
    ] });
    let create = json!({ "Policy": key_policy.to_string(), "Tags": [{ "TagKey": "team", "TagValue": "data" }] });
    let key = aws.ok("TrentService.CreateKey", create).await["KeyMetadata"].clone();
    aws.ok("TrentService.CreateAlias", json!({ "AliasName": "alias/pii", "TargetKeyId": key["KeyId"] })).await;
    let data_key = json!({ "KeyId": "alias/pii", "KeySpec": "AES_256" });
    let ask = async |who: &Keys, operation: &str, input: &Value| {
        who.json(&aws, "kms", &format!("TrentService.{operation}"), input.clone()).await
    };
    // The key's policy leaves the decision to the caller's.
    let refused = ask(&ada, "GenerateDataKey", &data_key).await;
    assert_eq!((refused.status, refused.json()["__type"].clone()), (400, json!("AccessDeniedException")));
    assert!(refused.body.contains("no identity-based policy allows the kms:GenerateDataKey"), "{}", refused.body);
    let all = policy("Allow", "kms:*", "*");
    for name in ["ada", "eve"] {
        iam(&aws, &format!("Action=PutUserPolicy&UserName={name}&PolicyName=all&PolicyDocument={all}")).await;
    }
    let made = ask(&ada, "GenerateDataKey", &data_key).await;
    assert_eq!(made.status, 200, "{}", made.body);
    // And nothing helps whom it does not allow, nor her whom it allows something else.
    let refused = ask(&eve, "GenerateDataKey", &data_key).await;
    assert!(refused.body.contains("no resource-based policy allows the kms:GenerateDataKey"), "{}", refused.body);
    let decrypt = json!({ "CiphertextBlob": made.json()["CiphertextBlob"] });
    for who in [&ada, &eve] {
        assert_eq!(ask(who, "Decrypt", &decrypt).await.json()["__type"], "AccessDeniedException");
    }
    assert_eq!(ask(&eve, "DescribeKey", &json!({ "KeyId": "alias/pii" })).await.status, 200);
    // Conditions may ask for the key's tags and aliases.
    for (key, value, status) in [
        ("aws:ResourceTag/team", "data", 200),
        ("aws:ResourceTag/team", "x", 400),
        ("kms:ResourceAliases", "alias/pii", 200),
    ] {
        let operator = if key.starts_with("kms") { "ForAnyValue:StringEquals" } else { "StringEquals" };
        let held = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "kms:*", "Resource": "*",
            "Condition": { operator: { key: value } } }] });
        iam(&aws, &format!("Action=PutUserPolicy&UserName=ada&PolicyName=all&PolicyDocument={held}")).await;
        assert_eq!(ask(&ada, "GenerateDataKey", &data_key).await.status, status, "{key} {value}");
    }
    aws.stop().await;
}
