//! Buckets: what `up` makes of one, changes, drift, and that `down` empties it.

use aws_sdk_s3::types::{BucketVersioningStatus, ObjectOwnership};
use serde_json::{Value, json};

use crate::changes::{ChangeCase, changed_fields, changes_in_place_and_back};
use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, runtime, sdk};

const SPEC: &str = "name = \"store\"\n\n[tags]\nTeam = \"a\"\n\n[bucket.audit]\n";
const NAME: &str = "store-audit-000000000000-us-east-1";

const CHANGES: [ChangeCase; 6] = [
    ("[bucket.audit]\n", "[bucket.audit]\nversioning = true\n", "bucket.audit", &["versioning"]),
    ("[bucket.audit]\n", "[bucket.audit]\nencryption = \"aws-managed\"\n", "bucket.audit", &["encryption"]),
    ("[bucket.audit]\n", "[bucket.audit]\nencryption = \"alias/audit\"\n", "bucket.audit", &["encryption"]),
    ("[bucket.audit]\n", "[bucket.audit]\nexpire = \"365d\"\n", "bucket.audit", &["expire"]),
    (
        "[bucket.audit]\n",
        "[bucket.audit]\nversioning = true\nexpire = \"90d\"\ntransition = { after = \"30d\", to = \"glacier-ir\" }\n",
        "bucket.audit",
        &["expire", "expire_versions", "transition", "versioning"],
    ),
    ("Team = \"a\"", "Project = \"b\"", "bucket.audit", &["tags.Project", "tags.Team"]),
];

fn s3(home: &Home) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(&sdk(&home.endpoint())).force_path_style(true).build();
    aws_sdk_s3::Client::from_conf(config)
}

#[test]
fn every_setting_of_a_bucket_changes_in_place_and_back() {
    let home = Home::new();
    changes_in_place_and_back(&home, SPEC, &CHANGES);
    home.local("down", &home.changed(SPEC, &[]), &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn a_bucket_is_private_encrypted_and_reached_through_tls_only() {
    let home = Home::new();
    home.local("up", &home.changed(SPEC, &[]), &["--yes"]);
    let s3 = s3(&home);
    runtime().block_on(async {
        let access = s3.get_public_access_block().bucket(NAME).send().await.unwrap();
        let access = access.public_access_block_configuration.unwrap();
        assert_eq!((access.block_public_policy, access.restrict_public_buckets), (Some(true), Some(true)));
        let ownership = s3.get_bucket_ownership_controls().bucket(NAME).send().await.unwrap();
        let rules = ownership.ownership_controls.unwrap().rules;
        assert_eq!(rules[0].object_ownership, ObjectOwnership::BucketOwnerEnforced);
        let policy = s3.get_bucket_policy().bucket(NAME).send().await.unwrap().policy.unwrap();
        let policy: Value = serde_json::from_str(&policy).unwrap();
        let statement = &policy["Statement"][0];
        assert_eq!((&statement["Effect"], &statement["Principal"]), (&json!("Deny"), &json!("*")));
        assert_eq!(statement["Condition"]["Bool"]["aws:SecureTransport"], "false");
    });
}

#[test]
fn what_was_done_to_a_bucket_behind_our_back_is_mended() {
    let home = Home::new();
    let spec = home.changed(SPEC, &[("[bucket.audit]\n", "[bucket.audit]\nversioning = true\nexpire = \"90d\"\n")]);
    home.local("up", &spec, &["--yes"]);
    let s3 = s3(&home);
    runtime().block_on(async {
        s3.delete_public_access_block().bucket(NAME).send().await.unwrap();
        s3.delete_bucket_policy().bucket(NAME).send().await.unwrap();
        s3.delete_bucket_ownership_controls().bucket(NAME).send().await.unwrap();
        s3.delete_bucket_lifecycle().bucket(NAME).send().await.unwrap();
        let suspended =
            aws_sdk_s3::types::VersioningConfiguration::builder().status(BucketVersioningStatus::Suspended).build();
        s3.put_bucket_versioning().bucket(NAME).versioning_configuration(suspended).send().await.unwrap();
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(
        changed_fields(&up, "bucket.audit"),
        ["expire", "expire_versions", "ownership", "policy", "public_access", "versioning"]
    );
    assert_eq!(home.local("plan", &spec, &[])["summary"]["unchanged"], 1);
    runtime().block_on(async { s3.delete_bucket().bucket(NAME).send().await.unwrap() });
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["create"], 1);
    assert_eq!(home.local("plan", &spec, &[])["summary"]["unchanged"], 1);
}

#[test]
fn a_foreign_bucket_is_refused_and_then_adopted() {
    let home = Home::new();
    let spec = home.changed(SPEC, &[]);
    let s3 = s3(&home);
    runtime().block_on(async { s3.create_bucket().bucket(NAME).send().await.unwrap() });
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(refused.stderr.contains(&format!("S3 bucket ({NAME}) exists already")), "{refused:#?}");
    assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]));
    assert_eq!(home.local("up", &spec, &["--yes", "--adopt"])["summary"]["update"], 1);
    assert_eq!(home.local("up", &spec, &["--yes"])["summary"]["unchanged"], 1);
    // What is no longer in the spec goes, unless it is protected.
    let protected = home.changed(SPEC, &[("[bucket.audit]\n", "[bucket.audit]\nprotect = true\n")]);
    home.local("up", &protected, &["--yes"]);
    let kept = home.local_output("down", &protected, &["--yes"]).expect(1);
    assert!(kept.stderr.contains(&format!("S3 bucket ({NAME}) is protected")), "{kept:#?}");
    home.local("up", &home.changed(SPEC, &[]), &["--yes"]);
    let without = home.changed(SPEC, &[("[bucket.audit]\n", "[queue.other]\n")]);
    let up = home.local("up", &without, &["--yes", "--allow-delete", "bucket.audit"]);
    assert_eq!(up["summary"]["delete"], 1, "{up:#}");
}

#[test]
fn a_bucket_moves_into_the_namespace_of_the_account_only_with_leave_to_lose_the_old_one() {
    let home = Home::new();
    home.local("up", &home.changed(SPEC, &[]), &["--yes"]);
    let spec = home.changed(SPEC, &[("[bucket.audit]\n", "[bucket.audit]\nnamespace = \"account-regional\"\n")]);
    let refused = home.local_output("up", &spec, &["--yes"]).expect(1);
    assert!(refused.stderr.contains("--allow-delete bucket.audit"), "{refused:#?}");
    home.local("up", &spec, &["--yes", "--allow-delete", "bucket.audit"]);
    let s3 = s3(&home);
    let buckets = runtime().block_on(async { s3.list_buckets().send().await.unwrap().buckets.unwrap() });
    let names: Vec<_> = buckets.iter().filter_map(|bucket| bucket.name()).collect();
    assert_eq!(names, [format!("{NAME}-an")]);
    assert_eq!(home.local("plan", &spec, &[])["summary"]["unchanged"], 1);
    let without = home.changed(SPEC, &[("[bucket.audit]\n", "[queue.other]\n")]);
    let up = home.local("up", &without, &["--yes", "--allow-delete", "bucket.audit"]);
    assert_eq!(up["summary"]["delete"], 1, "{up:#}");
    home.local("up", &spec, &["--yes"]);
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn down_empties_a_bucket_with_versions_and_delete_markers() {
    let home = Home::new();
    let spec = home.changed(SPEC, &[("[bucket.audit]\n", "[bucket.audit]\nversioning = true\n")]);
    home.local("up", &spec, &["--yes"]);
    let s3 = s3(&home);
    runtime().block_on(async {
        // More than a page, with overwritten and deleted objects.
        let puts = (0..1005).map(|n| {
            let put = s3.put_object().bucket(NAME).key(format!("audit-logs/{}", n % 600));
            put.body(aws_sdk_s3::primitives::ByteStream::from_static(b"x")).send()
        });
        for put in puts {
            put.await.unwrap();
        }
        for n in 0..20 {
            s3.delete_object().bucket(NAME).key(format!("audit-logs/{n}")).send().await.unwrap();
        }
    });
    let down = home.run(&["down", spec.to_str().unwrap(), "--local", "--yes"]).expect(0);
    assert!(format!("{}{}", down.stdout, down.stderr).contains("its objects (more than 1000)"), "{down:#?}");
    assert_nothing_is_left(&home);
    assert_eq!(home.local("down", &spec, &["--yes"])["resources"], json!([]));
}
