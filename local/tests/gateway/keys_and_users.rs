//! KMS keys encrypt, users and managed policies read back as they were made, buckets keep their settings, targets of autoscaling
//! their policies.

use serde_json::{Value, json};

use super::Aws;

fn between<'a>(xml: &'a str, tag: &str) -> &'a str {
    let (_, rest) = xml.split_once(&format!("<{tag}>")).unwrap_or_else(|| panic!("no {tag}: {xml}"));
    rest.split_once("</").expect("an end").0
}

#[tokio::test]
async fn a_key_decrypts_what_it_encrypted_in_the_same_context() {
    let aws = Aws::start().await;
    let key = aws.ok("TrentService.CreateKey", json!({ "Description": "pii" })).await["KeyMetadata"].clone();
    aws.ok("TrentService.CreateAlias", json!({ "AliasName": "alias/pii", "TargetKeyId": key["KeyId"] })).await;
    let context = json!({ "table": "orders" });
    let asked = json!({ "KeyId": "alias/pii", "KeySpec": "AES_256", "EncryptionContext": context });
    let data_key = aws.ok("TrentService.GenerateDataKey", asked).await;
    assert_eq!(data_key["KeyId"], key["Arn"]);
    assert_ne!(data_key["CiphertextBlob"], data_key["Plaintext"]);

    let blob = &data_key["CiphertextBlob"];
    let asked = json!({ "CiphertextBlob": blob, "EncryptionContext": context });
    let decrypted = aws.ok("TrentService.Decrypt", asked.clone()).await;
    assert_eq!((&decrypted["Plaintext"], &decrypted["KeyId"]), (&data_key["Plaintext"], &key["Arn"]));
    let other = aws.target("TrentService.Decrypt", json!({ "CiphertextBlob": blob })).await;
    assert_eq!((other.status, other.json()["__type"].clone()), (400, json!("InvalidCiphertextException")));

    aws.ok("TrentService.DisableKey", json!({ "KeyId": key["Arn"] })).await;
    let disabled = aws.target("TrentService.Decrypt", asked.clone()).await;
    assert_eq!(disabled.json()["__type"], "DisabledException");
    let deletion = json!({ "KeyId": key["KeyId"], "PendingWindowInDays": 7 });
    aws.ok("TrentService.ScheduleKeyDeletion", deletion).await;
    let pending = aws.target("TrentService.Decrypt", asked).await;
    assert_eq!(pending.json()["__type"], "KMSInvalidStateException");
    let described = aws.ok("TrentService.DescribeKey", json!({ "KeyId": "alias/pii" })).await;
    assert_eq!(described["KeyMetadata"]["KeyState"], "PendingDeletion");
    // AWS makes the keys of its services when they are first needed.
    let by_alias = aws.target("TrentService.CancelKeyDeletion", json!({ "KeyId": "alias/pii" })).await;
    assert_eq!(by_alias.json()["__type"], "NotFoundException");
    aws.ok("TrentService.CancelKeyDeletion", json!({ "KeyId": key["KeyId"] })).await;
    let described = aws.ok("TrentService.DescribeKey", json!({ "KeyId": "alias/pii" })).await;
    assert_eq!(described["KeyMetadata"]["KeyState"], "Disabled");
    let of_aws = aws.ok("TrentService.DescribeKey", json!({ "KeyId": "alias/aws/kinesis" })).await;
    assert_eq!(of_aws["KeyMetadata"]["KeyManager"], "AWS");
    let missing = aws.target("TrentService.DescribeKey", json!({ "KeyId": "alias/none" })).await;
    assert_eq!(missing.json()["__type"], "NotFoundException");
    aws.stop().await;
}

#[tokio::test]
async fn a_mac_is_the_same_each_time_and_rotation_is_for_keys_that_encrypt() {
    let aws = Aws::start().await;
    let asked = json!({ "KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC" });
    let key = aws.ok("TrentService.CreateKey", asked).await["KeyMetadata"].clone();
    assert_eq!((&key["MacAlgorithms"], &key["KeyUsage"]), (&json!(["HMAC_SHA_256"]), &json!("GENERATE_VERIFY_MAC")));
    let mut asked = json!({ "KeyId": key["KeyId"], "MacAlgorithm": "HMAC_SHA_256", "Message": "bGFiZWw=" });
    let mac = aws.ok("TrentService.GenerateMac", asked.clone()).await["Mac"].clone();
    assert_eq!(aws.ok("TrentService.GenerateMac", asked.clone()).await["Mac"], mac);
    asked["Mac"] = mac;
    assert_eq!(aws.ok("TrentService.VerifyMac", asked.clone()).await["MacValid"], true);
    asked["Message"] = json!("b3RoZXI=");
    let other = aws.target("TrentService.VerifyMac", asked).await;
    assert_eq!(other.json()["__type"], "KMSInvalidMacException");
    let wrong =
        aws.target("TrentService.GenerateDataKey", json!({ "KeyId": key["KeyId"], "KeySpec": "AES_256" })).await;
    assert_eq!(wrong.json()["__type"], "InvalidKeyUsageException");
    let wrong = aws.target("TrentService.EnableKeyRotation", json!({ "KeyId": key["KeyId"] })).await;
    assert_eq!(wrong.json()["__type"], "UnsupportedOperationException");

    let key = aws.ok("TrentService.CreateKey", json!({})).await["KeyMetadata"]["KeyId"].clone();
    let status = async || aws.ok("TrentService.GetKeyRotationStatus", json!({ "KeyId": key })).await;
    assert_eq!(status().await["KeyRotationEnabled"], false);
    aws.ok("TrentService.EnableKeyRotation", json!({ "KeyId": key })).await;
    assert_eq!(status().await["RotationPeriodInDays"], 365);
    let wrong = aws.target("TrentService.EnableKeyRotation", json!({ "KeyId": key, "RotationPeriodInDays": 89 })).await;
    assert_eq!(wrong.json()["__type"], "ValidationException");
    let wrong = aws.target("TrentService.PutKeyPolicy", json!({ "KeyId": key, "Policy": "{" })).await;
    assert_eq!(wrong.json()["__type"], "MalformedPolicyDocumentException");
    aws.stop().await;
}

#[tokio::test]
async fn users_groups_and_policies_read_back_and_go_in_order() {
    let aws = Aws::start().await;
    let iam = async |form: &str| aws.query("iam", &format!("{form}&Version=2010-05-08")).await;
    let ok = async |form: &str| {
        let answer = iam(form).await;
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        answer.body
    };
    let refused = async |form: &str, code: &str| {
        let answer = iam(form).await;
        assert_eq!(between(&answer.body, "Code"), code, "{form}");
    };
    let document = |action: &str| json!({ "Statement": { "Effect": "Allow", "Action": action, "Resource": "*" } });
    let read = document("s3:Get*");
    let made = ok(&format!("Action=CreatePolicy&PolicyName=read&Path=/team/&PolicyDocument={read}")).await;
    let arn = between(&made, "Arn").to_owned();
    assert_eq!(arn, "arn:aws:iam::000000000000:policy/team/read");
    refused(&format!("Action=CreatePolicy&PolicyName=read&Path=/team/&PolicyDocument={read}"), "EntityAlreadyExists")
        .await;

    for wrong in ["zo%C3%AB", "a%2Fb"] {
        refused(&format!("Action=CreateUser&UserName={wrong}"), "ValidationError").await;
    }
    ok("Action=CreateUser&UserName=ada&Tags.member.1.Key=team&Tags.member.1.Value=data").await;
    let shown = ok("Action=GetUser&UserName=ada").await;
    assert_eq!((between(&shown, "Key"), between(&shown, "Value")), ("team", "data"));
    ok("Action=CreateGroup&GroupName=makers").await;
    ok("Action=AddUserToGroup&GroupName=makers&UserName=ada").await;
    ok(&format!("Action=AttachUserPolicy&UserName=ada&PolicyArn={arn}")).await;
    assert_eq!(between(&ok(&format!("Action=GetPolicy&PolicyArn={arn}")).await, "AttachmentCount"), "1");
    assert_eq!(between(&ok("Action=ListGroupsForUser&UserName=ada").await, "GroupName"), "makers");

    let write = document("s3:Put*");
    let form = format!("Action=CreatePolicyVersion&PolicyArn={arn}&SetAsDefault=true&PolicyDocument={write}");
    assert_eq!(between(&ok(&form).await, "VersionId"), "v2");
    let second = ok(&format!("Action=GetPolicyVersion&PolicyArn={arn}&VersionId=v2")).await;
    assert!(
        between(&second, "Document").contains("Put%2A") || between(&second, "Document").contains("Put*"),
        "{second}"
    );
    refused(&format!("Action=DeletePolicyVersion&PolicyArn={arn}&VersionId=v2"), "DeleteConflict").await;

    for _ in 0..2 {
        ok("Action=CreateAccessKey&UserName=ada").await;
    }
    refused("Action=CreateAccessKey&UserName=ada", "LimitExceeded").await;
    refused(&format!("Action=DeletePolicy&PolicyArn={arn}"), "DeleteConflict").await;
    refused("Action=DeleteUser&UserName=ada", "DeleteConflict").await;
    let keys = ok("Action=ListAccessKeys&UserName=ada").await;
    for key in keys.split("<AccessKeyId>").skip(1) {
        let id = key.split('<').next().expect("an id");
        ok(&format!("Action=DeleteAccessKey&UserName=ada&AccessKeyId={id}")).await;
    }
    refused("Action=DeleteGroup&GroupName=makers", "DeleteConflict").await;
    refused("Action=DeleteUser&UserName=ada", "DeleteConflict").await;
    ok(&format!("Action=DetachUserPolicy&UserName=ada&PolicyArn={arn}")).await;
    refused("Action=DeleteUser&UserName=ada", "DeleteConflict").await;
    ok("Action=RemoveUserFromGroup&GroupName=makers&UserName=ada").await;
    ok("Action=DeleteUser&UserName=ada").await;
    refused("Action=GetUser&UserName=ada", "NoSuchEntity").await;
    ok("Action=DeleteGroup&GroupName=makers").await;
    refused(&format!("Action=DeletePolicy&PolicyArn={arn}"), "DeleteConflict").await;
    ok(&format!("Action=DeletePolicyVersion&PolicyArn={arn}&VersionId=v1")).await;
    ok(&format!("Action=DeletePolicy&PolicyArn={arn}")).await;
    aws.stop().await;
}

#[tokio::test]
async fn buckets_keep_their_settings_and_tags_by_arn() {
    let aws = Aws::start().await;
    let put = async |path: &str, body: &str| aws.send("PUT", path, &[], body.as_bytes()).await;
    let get = async |path: &str| aws.send("GET", path, &[], b"").await;
    assert_eq!(put("/Wrong_Name", "").await.status, 400);
    assert_eq!(put("/shop-audit", "").await.status, 200);
    // The end of the account's own namespace goes with its header, and neither without the other.
    let in_namespace =
        async |name: &str, headers: &[(&str, &str)]| aws.send("PUT", &format!("/{name}"), headers, b"").await.status;
    let own = [("x-amz-bucket-namespace", "account-regional")];
    assert_eq!(in_namespace("shop-000000000000-eu-west-1-an", &own).await, 200);
    assert_eq!(in_namespace("shop-000000000000-eu-west-1-an2", &own).await, 400);
    assert_eq!(in_namespace("shop2-000000000000-eu-west-1-an", &[]).await, 400);
    assert!(get("/shop-audit?publicAccessBlock").await.body.contains("<BlockPublicPolicy>true"));
    assert!(get("/shop-audit?encryption").await.body.contains("AES256"));
    for (setting, code) in [
        ("policy", "NoSuchBucketPolicy"),
        ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("tagging", "NoSuchTagSet"),
        ("cors", "NoSuchCORSConfiguration"),
        ("website", "NoSuchWebsiteConfiguration"),
        ("replication", "ReplicationConfigurationNotFoundError"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
    ] {
        let answer = get(&format!("/shop-audit?{setting}")).await;
        assert_eq!((answer.status, between(&answer.body, "Code")), (404, code));
    }
    let policy = json!({ "Version": "2012-10-17", "Statement": [] }).to_string();
    assert_eq!(put("/shop-audit?policy", &policy).await.status, 204);
    assert_eq!(get("/shop-audit?policy").await.body, policy);
    assert_eq!(put("/shop-audit?policy", "no policy").await.status, 400);
    let lifecycle =
        "<LifecycleConfiguration><Rule><ID>old</ID><Status>Enabled</Status></Rule></LifecycleConfiguration>";
    assert_eq!(put("/shop-audit?lifecycle", lifecycle).await.status, 200);
    assert!(get("/shop-audit?lifecycle").await.body.contains("<ID>old</ID>"));
    assert_eq!(put("/shop-audit?lifecycle", "<Other/>").await.status, 400);
    assert_eq!(aws.send("DELETE", "/shop-audit?lifecycle", &[], b"").await.status, 204);
    assert_eq!(get("/shop-audit?lifecycle").await.status, 404);

    let by_arn = "/v20180820/tags/arn%3Aaws%3As3%3A%3A%3Ashop-audit";
    let tags =
        "<TagResourceRequest><Tags><Tag><Key>team</Key><Value>a &amp; b</Value></Tag></Tags></TagResourceRequest>";
    assert_eq!(aws.send("POST", by_arn, &[], tags.as_bytes()).await.status, 204);
    assert!(get("/shop-audit?tagging").await.body.contains("<Value>a &amp; b</Value>"));
    assert_eq!(aws.send("DELETE", &format!("{by_arn}?tagKeys=team"), &[], b"").await.status, 204);
    assert_eq!(get("/shop-audit?tagging").await.status, 404);
    assert_eq!(get("/none?policy").await.status, 404);
    assert_eq!(put("/none?policy", &policy).await.status, 404);
    aws.stop().await;
}

#[tokio::test]
async fn targets_of_autoscaling_keep_their_policies() {
    let aws = Aws::start().await;
    let target = |more: Value| {
        let mut target = json!({
            "ServiceNamespace": "dynamodb",
            "ResourceId": "table/orders",
            "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
        });
        target.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        target
    };
    let call =
        async |operation: &str, input: Value| aws.ok(&format!("AnyScaleFrontendService.{operation}"), input).await;
    let nothing = aws.target("AnyScaleFrontendService.PutScalingPolicy", target(json!({ "PolicyName": "p" }))).await;
    assert_eq!(nothing.json()["__type"], "ObjectNotFoundException");
    let limits = json!({ "MinCapacity": 5, "MaxCapacity": 20, "Tags": { "team": "data" } });
    let arn = call("RegisterScalableTarget", target(limits)).await["ScalableTargetARN"].clone();
    let tags = call("ListTagsForResource", json!({ "ResourceARN": arn })).await;
    assert_eq!(tags["Tags"], json!({ "team": "data" }));
    let tracking = json!({ "TargetValue": 70.0 });
    let policy = json!({ "PolicyName": "p", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": tracking });
    call("PutScalingPolicy", target(policy)).await;
    // What is not said stays.
    call("RegisterScalableTarget", target(json!({ "MaxCapacity": 30 }))).await;
    let of_service = json!({ "ServiceNamespace": "dynamodb" });
    let targets = call("DescribeScalableTargets", of_service.clone()).await;
    assert_eq!(targets["ScalableTargets"][0]["MinCapacity"], 5);
    assert_eq!(targets["ScalableTargets"][0]["MaxCapacity"], 30);
    let policies = call("DescribeScalingPolicies", of_service.clone()).await;
    assert_eq!(policies["ScalingPolicies"][0]["TargetTrackingScalingPolicyConfiguration"], tracking);
    call("DeregisterScalableTarget", target(json!({}))).await;
    assert_eq!(call("DescribeScalingPolicies", of_service).await["ScalingPolicies"], json!([]));
    aws.stop().await;
}
