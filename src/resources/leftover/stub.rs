//! Resources of which only the name is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::resource::{Any, Cx, Type};
use super::super::{
    Alarm, AlarmMetric, Bucket, Consumer, Dashboard, Function, LogGroup, Mapping, MappingSource, Queue, Role, Stream,
    Table, Topic,
};
use crate::aws::Policy;
use crate::code::Code;
use crate::package::{Architecture, Origin, Target};
use crate::spec::{AttributeType, Billing, Comparison, Encryption, Key, MissingData, Seconds, Statistic, StreamMode};

/// Enough of a resource to look at it and to delete it.
pub(super) fn stub(cx: &Cx, kind: Type, name: &str) -> Any {
    let name = name.to_owned();
    let none = Seconds(0);
    match kind {
        Type::Stream => Any::Stream(Stream {
            name,
            mode: StreamMode::Provisioned,
            shards: 1,
            retention: none,
            encryption: Encryption::None,
        }),
        Type::Table => Any::Table(Table {
            name,
            partition_key: Key { name: String::new(), kind: AttributeType::S },
            sort_key: None,
            billing: Billing::OnDemand,
            ttl: None,
            stream: None,
            point_in_time_recovery: false,
            protect: false,
        }),
        Type::Queue => Any::Queue(Queue { name, retention: none, visibility: none, redrive: None, fed_by: Vec::new() }),
        // The stream is said by whoever found it.
        Type::Consumer => Any::Consumer(Consumer { name, stream: String::new() }),
        Type::Bucket => Any::Bucket(Bucket {
            arn: Bucket::arn_of(&cx.aws, &name),
            name,
            encryption: None,
            versioning: false,
            expire: None,
            transition: None,
        }),
        Type::Role => Any::Role(Role { name, policy: Policy::default() }),
        Type::LogGroup => Any::LogGroup(LogGroup { name, retention: none }),
        Type::Function => Any::Function(Function {
            name,
            role: String::new(),
            memory: 0,
            timeout: none,
            tracing: false,
            reserved_concurrency: None,
            architecture: Architecture::X86_64,
            environment: BTreeMap::new(),
            code: Arc::new(Code::new(std::path::PathBuf::new(), Origin::Bundled, Target::Host)),
        }),
        Type::Mapping => Any::Mapping(Mapping {
            function: name,
            source: MappingSource::Stream(String::new()),
            source_arn: Arc::default(),
            batch_size: 1,
            batch_window: none,
            starting_position: None,
            parallelization_factor: 1,
            bisect_on_error: false,
            max_retries: -1,
            max_record_age: None,
            on_failure: None,
            filter: Vec::new(),
            tumbling_window: none,
            enabled: true,
            anew: Arc::default(),
            source_is_new: Arc::default(),
        }),
        Type::Dashboard => Any::Dashboard(Dashboard { name, body: serde_json::Value::Null }),
        Type::Topic => Any::Topic(Topic { name, subscribers: Vec::new(), encryption: Encryption::None }),
        Type::Alarm => Any::Alarm(Alarm {
            name,
            description: None,
            metric: AlarmMetric { namespace: String::new(), name: String::new(), dimensions: BTreeMap::new() },
            statistic: Statistic::Sum,
            period: none,
            threshold: 0.0,
            comparison: Comparison::Greater,
            evaluation_periods: 1,
            datapoints: 1,
            missing_data: MissingData::NotBreaching,
            notify: Vec::new(),
        }),
    }
}
