//! Objects of S3: what is kept of them, versions, conditions, lists, copies, and uploads in parts.

use std::fmt::Write as _;

use super::Aws;

/// An answer with its headers, names in lower case.
struct Full {
    status: u16,
    head: String,
    body: String,
}

impl Full {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn text(&self, element: &str) -> Option<&str> {
        between(&self.body, element).into_iter().next()
    }

    fn all(&self, element: &str) -> Vec<&str> {
        between(&self.body, element)
    }

    #[track_caller]
    fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.text("Code")), (status, Some(code)), "{}", self.body);
    }
}

fn between<'a>(body: &'a str, element: &str) -> Vec<&'a str> {
    let open = format!("<{element}>");
    body.split(&*open).skip(1).filter_map(|rest| rest.split("</").next()).collect()
}

/// An embedded AWS with the bucket `bucket`.
async fn with_bucket() -> Aws {
    let aws = Aws::start().await;
    assert_eq!(ask(&aws, "PUT", "/bucket", &[], b"").await.status, 200);
    aws
}

async fn ask(aws: &Aws, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Full {
    let (head, body) = aws.send_whole(method, path, headers, body).await;
    let (first, head) = head.split_once("\r\n").unwrap_or((&head, ""));
    let head = head.lines().fold(String::new(), |mut lower, line| {
        let (name, value) = line.split_once(':').expect("a header");
        let _ = writeln!(lower, "{}: {}", name.to_lowercase(), value.trim());
        lower
    });
    let status = first[9..12].parse().expect("a status");
    Full { status, head, body: String::from_utf8_lossy(&body).into_owned() }
}

async fn put(aws: &Aws, path: &str, body: &str) -> Full {
    let answer = ask(aws, "PUT", path, &[], body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer
}

async fn get(aws: &Aws, path: &str) -> Full {
    ask(aws, "GET", path, &[], b"").await
}

async fn version(aws: &Aws, status: &str) {
    let body = format!("<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>");
    assert_eq!(ask(aws, "PUT", "/bucket?versioning", &[], body.as_bytes()).await.status, 200);
}

#[tokio::test]
async fn what_was_said_of_an_object_is_given_back_with_it() {
    let aws = with_bucket().await;
    let said = [
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("cache-control", "no-store"),
        ("x-amz-meta-a", "b"),
        ("x-amz-storage-class", "STANDARD_IA"),
        ("x-amz-tagging", "team=a%20b&of=c"),
    ];
    let answer = ask(&aws, "PUT", "/bucket/key", &said, b"content").await;
    assert_eq!(answer.header("etag"), Some("\"9a0364b9e99bb480dd25e1f0284c8555\""));
    assert_eq!(answer.header("x-amz-server-side-encryption"), Some("AES256"));
    assert_eq!(answer.header("x-amz-version-id"), None);
    for method in ["GET", "HEAD"] {
        let answer = ask(&aws, method, "/bucket/key", &[], b"").await;
        for (name, value) in &said[..5] {
            assert_eq!(answer.header(name), Some(*value), "{method} {name}");
        }
        assert_eq!(answer.header("content-length"), Some("7"), "{method}");
        assert_eq!(answer.header("x-amz-tagging-count"), Some("2"));
        assert!(answer.header("last-modified").is_some_and(|time| time.ends_with(" GMT")));
        assert_eq!(answer.body, if method == "GET" { "content" } else { "" });
    }
    let typed = get(&aws, "/bucket/key?response-content-type=a%2Fb").await;
    assert_eq!(typed.header("content-type"), Some("a/b"));
    put(&aws, "/bucket/plain", "").await;
    let plain = get(&aws, "/bucket/plain").await;
    assert_eq!(
        (plain.header("content-type"), plain.header("content-length")),
        (Some("binary/octet-stream"), Some("0"))
    );

    let crc = [("x-amz-checksum-crc32", "y/U6HA==")];
    ask(&aws, "PUT", "/bucket/crc", &[("x-amz-checksum-crc32", "AAAAAA==")], b"a").await.refused(400, "BadDigest");
    ask(&aws, "PUT", "/bucket/crc", &[("content-md5", "AAAA")], b"a").await.refused(400, "BadDigest");
    let kms = "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>k</KMSMasterKeyID></ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>";
    assert_eq!(ask(&aws, "PUT", "/bucket?encryption", &[], kms.as_bytes()).await.status, 200);
    let answer = ask(&aws, "PUT", "/bucket/crc", &crc, b"12345").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("x-amz-checksum-crc32"), Some("y/U6HA=="));
    assert_eq!(answer.header("x-amz-server-side-encryption"), Some("aws:kms"));
    assert_eq!(answer.header("x-amz-server-side-encryption-aws-kms-key-id"), Some("k"));
    let checked = ask(&aws, "GET", "/bucket/crc", &[("x-amz-checksum-mode", "ENABLED")], b"").await;
    assert_eq!(checked.header("x-amz-checksum-crc32"), Some("y/U6HA=="));
    assert_eq!(get(&aws, "/bucket/crc").await.header("x-amz-checksum-crc32"), None);
    aws.stop().await;
}

#[tokio::test]
async fn parts_of_an_object_are_read_and_conditions_held() {
    let aws = with_bucket().await;
    let etag = put(&aws, "/bucket/key", "0123456789").await.header("etag").expect("an ETag").to_owned();
    let read = async |name: &str, value: &str| ask(&aws, "GET", "/bucket/key", &[(name, value)], b"").await;
    let some = read("Range", "bytes=2-4").await;
    assert_eq!((some.status, &*some.body, some.header("content-range")), (206, "234", Some("bytes 2-4/10")));
    assert_eq!(read("Range", "bytes=-3").await.body, "789");
    let beyond = read("Range", "bytes=10-").await;
    beyond.refused(416, "InvalidRange");
    assert_eq!(beyond.text("ActualObjectSize"), Some("10"));

    assert_eq!(read("If-Match", &etag).await.status, 200);
    read("If-Match", "\"other\"").await.refused(412, "PreconditionFailed");
    let known = read("If-None-Match", &etag).await;
    assert_eq!((known.status, &*known.body, known.header("etag")), (304, "", Some(&*etag)));
    let modified = read("If-None-Match", "\"other\"").await.header("last-modified").expect("a time").to_owned();
    assert_eq!(read("If-Modified-Since", &modified).await.status, 304);
    assert_eq!(read("If-Unmodified-Since", "Mon, 01 Jan 2001 00:00:00 GMT").await.status, 412);

    let write = async |path: &str, name: &str, value: &str| ask(&aws, "PUT", path, &[(name, value)], b"new").await;
    write("/bucket/key", "If-None-Match", "*").await.refused(412, "PreconditionFailed");
    assert_eq!(write("/bucket/other", "If-None-Match", "*").await.status, 200);
    write("/bucket/key", "If-Match", "\"other\"").await.refused(412, "PreconditionFailed");
    write("/bucket/none", "If-Match", &etag).await.refused(404, "NoSuchKey");
    assert_eq!(write("/bucket/key", "If-Match", &etag).await.status, 200);
    assert_eq!(get(&aws, "/bucket/key").await.body, "new");
    aws.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_the_words_of_s3() {
    let aws = with_bucket().await;
    let none = get(&aws, "/bucket/no%20%C3%A9").await;
    none.refused(404, "NoSuchKey");
    assert_eq!(
        (none.text("Key"), none.text("Message")),
        (Some("no \u{e9}"), Some("The specified key does not exist."))
    );
    let head = ask(&aws, "HEAD", "/bucket/none", &[], b"").await;
    assert_eq!((head.status, &*head.body), (404, ""));
    for (method, path) in
        [("GET", "/none/key"), ("PUT", "/none/key"), ("DELETE", "/none/key"), ("GET", "/none?list-type=2")]
    {
        let refused = ask(&aws, method, path, &[], b"").await;
        refused.refused(404, "NoSuchBucket");
        assert_eq!(refused.text("BucketName"), Some("none"), "{method} {path}");
    }
    get(&aws, "/bucket/none?versionId=x").await.refused(404, "NoSuchVersion");
    assert_eq!(ask(&aws, "DELETE", "/bucket/none", &[], b"").await.status, 204);
    ask(&aws, "PUT", &format!("/bucket/{}", "k".repeat(1025)), &[], b"").await.refused(400, "KeyTooLongError");
    ask(&aws, "PUT", "/bucket/%ff", &[], b"").await.refused(400, "InvalidURI");
    ask(&aws, "POST", "/bucket?delete", &[], b"<Delete/>").await.refused(400, "MalformedXML");
    for (method, path) in
        [("GET", "/bucket/key?acl"), ("PUT", "/bucket/key?retention"), ("POST", "/bucket/key?restore")]
    {
        ask(&aws, method, path, &[], b"").await.refused(501, "NotImplemented");
    }
    put(&aws, "/bucket/key", "").await;
    ask(&aws, "DELETE", "/bucket", &[], b"").await.refused(409, "BucketNotEmpty");
    assert_eq!(ask(&aws, "DELETE", "/bucket/key", &[], b"").await.status, 204);
    assert_eq!(ask(&aws, "DELETE", "/bucket", &[], b"").await.status, 204);
    ask(&aws, "PUT", "/bucket/key", &[], b"").await.refused(404, "NoSuchBucket");
    aws.stop().await;
}

#[tokio::test]
async fn versions_are_kept_listed_and_deleted_one_by_one() {
    let aws = with_bucket().await;
    put(&aws, "/bucket/key", "null").await;
    version(&aws, "Enabled").await;
    let id = |answer: &Full| answer.header("x-amz-version-id").expect("a version").to_owned();
    let first = id(&put(&aws, "/bucket/key", "1").await);
    let second = id(&put(&aws, "/bucket/key", "2").await);
    assert_eq!(get(&aws, "/bucket/key").await.body, "2");
    for (version, body) in [("null", "null"), (&*first, "1"), (&*second, "2")] {
        assert_eq!(get(&aws, &format!("/bucket/key?versionId={version}")).await.body, body);
    }
    let deleted = ask(&aws, "DELETE", "/bucket/key", &[], b"").await;
    assert_eq!((deleted.status, deleted.header("x-amz-delete-marker")), (204, Some("true")));
    let marker = id(&deleted);
    let gone = get(&aws, "/bucket/key").await;
    gone.refused(404, "NoSuchKey");
    assert_eq!((gone.header("x-amz-delete-marker"), &*id(&gone)), (Some("true"), &*marker));
    get(&aws, &format!("/bucket/key?versionId={marker}")).await.refused(405, "MethodNotAllowed");
    assert_eq!(get(&aws, "/bucket?list-type=2").await.all("Key"), [""; 0]);

    let listed = get(&aws, "/bucket?versions").await;
    assert_eq!(listed.all("VersionId"), [&*marker, &second, &first, "null"]);
    assert_eq!(listed.all("IsLatest"), ["true", "false", "false", "false"]);
    assert_eq!((listed.all("DeleteMarker").len(), listed.all("Version").len()), (1, 3));
    // A page may end within a key, and the next begins there, even if what it ended with is gone.
    let page = get(&aws, "/bucket?versions&max-keys=2").await;
    assert_eq!((page.text("NextKeyMarker"), page.text("NextVersionIdMarker")), (Some("key"), Some(&*second)));
    let gone = ask(&aws, "DELETE", &format!("/bucket/key?versionId={second}"), &[], b"").await;
    assert_eq!((gone.status, &*id(&gone), gone.header("x-amz-delete-marker")), (204, &*second, None));
    let rest = get(&aws, &format!("/bucket?versions&key-marker=key&version-id-marker={second}")).await;
    assert_eq!((rest.all("VersionId"), rest.text("IsTruncated")), (vec![&*first, "null"], Some("false")));

    version(&aws, "Suspended").await;
    assert_eq!(id(&put(&aws, "/bucket/key", "again").await), "null");
    assert_eq!(get(&aws, "/bucket?versions").await.all("VersionId"), ["null", &marker, &first]);
    assert_eq!(id(&ask(&aws, "DELETE", "/bucket/key", &[], b"").await), "null");
    ask(&aws, "DELETE", "/bucket", &[], b"").await.refused(409, "BucketNotEmpty");
    let delete = format!(
        "<Delete xmlns=\"x\"><Object><Key>key</Key><VersionId>{first}</VersionId></Object><Object><Key>key</Key><VersionId>{marker}</VersionId></Object><Object><Key>key</Key><VersionId>null</VersionId></Object></Delete>"
    );
    let deleted = ask(&aws, "POST", "/bucket?delete", &[], delete.as_bytes()).await;
    assert_eq!(deleted.all("VersionId"), [&*first, &marker, "null"], "{}", deleted.body);
    assert_eq!(deleted.all("DeleteMarkerVersionId"), [&*marker, "null"]);
    assert_eq!(ask(&aws, "DELETE", "/bucket", &[], b"").await.status, 204);
    aws.stop().await;
}

#[tokio::test]
async fn lists_roll_up_prefixes_and_go_on_page_by_page() {
    let aws = with_bucket().await;
    for key in ["a", "b/1", "b/2", "c%20%C3%A9/x", "d%3C"] {
        put(&aws, &format!("/bucket/{key}"), "x").await;
    }
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/bucket?list-type=2&delimiter=%2F&max-keys=1&encoding-type=url{token}");
        let page = get(&aws, &path).await;
        assert_eq!((page.text("KeyCount"), page.text("MaxKeys")), (Some("1"), Some("1")));
        found.extend(page.all("Key").into_iter().chain(page.all("CommonPrefixes><Prefix")).map(str::to_owned));
        let Some(next) = page.text("NextContinuationToken") else { break };
        token = format!("&continuation-token={next}");
    }
    assert_eq!(found, ["a", "b/", "c%20%C3%A9/", "d%3C"]);
    assert_eq!(get(&aws, "/bucket?list-type=2&prefix=b/").await.all("Key"), ["b/1", "b/2"]);
    assert_eq!(get(&aws, "/bucket?list-type=2&start-after=b/2").await.all("Key"), ["c \u{e9}/x", "d&lt;"]);
    get(&aws, "/bucket?list-type=2&continuation-token=%21").await.refused(400, "InvalidArgument");
    get(&aws, "/bucket?list-type=2&max-keys=-1").await.refused(400, "InvalidArgument");

    let page = get(&aws, "/bucket?delimiter=/&max-keys=2").await;
    assert_eq!((page.text("NextMarker"), page.text("IsTruncated")), (Some("b/"), Some("true")));
    let rest = get(&aws, "/bucket?delimiter=/&marker=b/").await;
    assert_eq!((rest.all("Key"), rest.text("IsTruncated")), (vec!["d&lt;"], Some("false")));
    let none = get(&aws, "/bucket?max-keys=0").await;
    assert_eq!((none.all("Key").len(), none.text("IsTruncated")), (0, Some("false")));
    aws.stop().await;
}

#[tokio::test]
async fn copies_have_content_and_headers_of_their_source() {
    let aws = with_bucket().await;
    let said = [("content-type", "text/plain"), ("x-amz-meta-a", "b"), ("x-amz-tagging", "a=b")];
    assert_eq!(ask(&aws, "PUT", "/bucket/a%20%C3%A9", &said, b"content").await.status, 200);
    let copy = async |path: &str, more: &[(&str, &str)]| {
        let headers = [&[("x-amz-copy-source", "/bucket/a%20%C3%A9")], more].concat();
        ask(&aws, "PUT", path, &headers, b"").await
    };
    let copied = copy("/bucket/copy", &[]).await;
    assert_eq!(copied.text("ETag"), Some("&quot;9a0364b9e99bb480dd25e1f0284c8555&quot;"), "{}", copied.body);
    let read = get(&aws, "/bucket/copy").await;
    assert_eq!(
        (&*read.body, read.header("x-amz-meta-a"), read.header("x-amz-tagging-count")),
        ("content", Some("b"), Some("1"))
    );
    let replaced =
        [("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-c", "d"), ("x-amz-tagging-directive", "REPLACE")];
    copy("/bucket/copy", &replaced).await;
    let read = get(&aws, "/bucket/copy").await;
    assert_eq!((read.header("x-amz-meta-a"), read.header("x-amz-meta-c")), (None, Some("d")));
    assert_eq!(read.header("x-amz-tagging-count"), None);
    copy("/bucket/a%20%C3%A9", &[]).await.refused(400, "InvalidRequest");
    copy("/bucket/copy", &[("x-amz-copy-source-if-match", "\"other\"")]).await.refused(412, "PreconditionFailed");
    let missing = ask(&aws, "PUT", "/bucket/copy", &[("x-amz-copy-source", "bucket/none")], b"").await;
    missing.refused(404, "NoSuchKey");
    aws.stop().await;
}

#[tokio::test]
async fn tags_of_objects_are_replaced_and_deleted() {
    let aws = with_bucket().await;
    put(&aws, "/bucket/key", "").await;
    let tags = "<Tagging><TagSet><Tag><Key>a</Key><Value>b &amp; c</Value></Tag></TagSet></Tagging>";
    assert_eq!(ask(&aws, "PUT", "/bucket/key?tagging", &[], tags.as_bytes()).await.status, 200);
    let read = get(&aws, "/bucket/key?tagging").await;
    assert_eq!((read.all("Key"), read.all("Value")), (vec!["a"], vec!["b &amp; c"]));
    let twice = tags.replace("<TagSet>", "<TagSet><Tag><Key>a</Key><Value/></Tag>");
    ask(&aws, "PUT", "/bucket/key?tagging", &[], twice.as_bytes()).await.refused(400, "InvalidTag");
    assert_eq!(ask(&aws, "DELETE", "/bucket/key?tagging", &[], b"").await.status, 204);
    assert_eq!(get(&aws, "/bucket/key?tagging").await.all("Key").len(), 0);
    assert_eq!(get(&aws, "/bucket/key").await.status, 200, "the object itself stays");
    get(&aws, "/bucket/none?tagging").await.refused(404, "NoSuchKey");
    aws.stop().await;
}

#[tokio::test]
async fn uploads_in_parts_become_one_object() {
    let aws = with_bucket().await;
    let begin = async |key: &str| {
        let said = [("x-amz-meta-a", "b"), ("content-encoding", "gzip")];
        let begun = ask(&aws, "POST", &format!("/bucket/{key}?uploads"), &said, b"").await;
        begun.text("UploadId").expect("an id").to_owned()
    };
    let id = begin("key").await;
    let large = vec![b'x'; 5 << 20];
    let part = async |number: u16, body: &[u8]| {
        let path = format!("/bucket/key?partNumber={number}&uploadId={id}");
        let answer = ask(&aws, "PUT", &path, &[], body).await;
        answer.header("etag").unwrap_or_default().to_owned()
    };
    let complete = async |parts: &[(u16, &str)]| {
        let parts = parts.iter().fold(String::new(), |mut all, (number, etag)| {
            let _ = write!(all, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
            all
        });
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        ask(&aws, "POST", &format!("/bucket/key?uploadId={id}"), &[], body.as_bytes()).await
    };
    let (first, second, small) = (part(1, &large).await, part(2, b"end").await, part(3, b"more").await);
    let listed = get(&aws, &format!("/bucket/key?uploadId={id}&max-parts=2")).await;
    assert_eq!((listed.all("PartNumber"), listed.text("NextPartNumberMarker")), (vec!["1", "2"], Some("2")));
    let uploads = get(&aws, "/bucket?uploads").await;
    assert_eq!((uploads.all("Key"), uploads.all("UploadId")), (vec!["key"], vec![&*id]));

    complete(&[(1, &first), (2, "\"other\"")]).await.refused(400, "InvalidPart");
    complete(&[(2, &second), (1, &first)]).await.refused(400, "InvalidPartOrder");
    complete(&[(2, &second), (3, &small)]).await.refused(400, "EntityTooSmall");
    complete(&[]).await.refused(400, "MalformedXML");
    get(&aws, "/bucket/key").await.refused(404, "NoSuchKey");
    let done = complete(&[(1, &first), (2, &second)]).await;
    assert!(done.text("ETag").is_some_and(|etag| etag.ends_with("-2&quot;")), "{}", done.body);
    complete(&[(1, &first)]).await.refused(404, "NoSuchUpload");
    let whole = get(&aws, "/bucket/key").await;
    assert_eq!((whole.body.len(), whole.header("x-amz-meta-a")), ((5 << 20) + 3, Some("b")));
    assert_eq!(whole.header("content-encoding"), Some("gzip"));
    let last = get(&aws, "/bucket/key?partNumber=2").await;
    assert_eq!((last.status, &*last.body, last.header("x-amz-mp-parts-count")), (206, "end", Some("2")));
    let said = [("x-amz-object-attributes", "ETag,ObjectSize,ObjectParts")];
    let attributes = ask(&aws, "GET", "/bucket/key?attributes", &said, b"").await;
    assert_eq!((attributes.text("PartsCount"), attributes.text("ObjectSize")), (Some("2"), Some("5242883")));

    let id = begin("other").await;
    let source = [("x-amz-copy-source", "bucket/key"), ("x-amz-copy-source-range", "bytes=5242880-5242882")];
    let path = format!("/bucket/other?partNumber=1&uploadId={id}");
    let copied = ask(&aws, "PUT", &path, &source, b"").await;
    assert_eq!(copied.text("ETag").map(|etag| etag.replace("&quot;", "\"")), Some(second));
    ask(&aws, "PUT", &path.replace("=1&", "=0&"), &[], b"").await.refused(400, "InvalidArgument");
    assert_eq!(ask(&aws, "DELETE", &format!("/bucket/other?uploadId={id}"), &[], b"").await.status, 204);
    ask(&aws, "PUT", &path, &[], b"x").await.refused(404, "NoSuchUpload");
    assert_eq!(get(&aws, "/bucket?uploads").await.all("Key").len(), 0);
    aws.stop().await;
}
