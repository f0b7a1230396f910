//! Resources of which only the name is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::any::Any;
use super::super::context::Cx;
use super::super::{
    Alarm, AlarmMetric, Bucket, Consumer, Dashboard, Function, LogGroup, Mapping, MappingSource, Queue, Role, Stream,
    Table, Topic,
};
use crate::aws::Policy;
use crate::package::{Architecture, Code, Origin, Target};
use crate::plan::ResourceKind;
use crate::spec::{AttributeType, Billing, Comparison, Encryption, Key, MissingData, Seconds, Statistic, StreamMode};

/// Enough of a resource to look at it and to delete it.
pub(super) fn stub(cx: &Cx, kind: ResourceKind, name: &str) -> Any {
    let name = name.to_owned();
    let none = Seconds(0);
    match kind {
        ResourceKind::Stream => Any::Stream(Stream {
            name,
            mode: StreamMode::Provisioned,
            shards: 1,
            retention: none,
            encryption: Encryption::None,
        }),
        ResourceKind::Table => Any::Table(Table {
            name,
            partition_key: Key { name: String::new(), kind: AttributeType::S },
            sort_key: None,
            billing: Billing::OnDemand,
            ttl: None,
            stream: None,
            point_in_time_recovery: false,
            protect: false,
        }),
        ResourceKind::Queue => {
            Any::Queue(Queue { name, retention: none, visibility: none, redrive: None, fed_by: Vec::new() })
        }
        // The stream is said by whoever found it.
        ResourceKind::Consumer => Any::Consumer(Consumer { name, stream: String::new() }),
        ResourceKind::Bucket => Any::Bucket(Bucket {
            arn: Bucket::arn_of(&cx.aws, &name),
            name,
            encryption: None,
            versioning: false,
            expire: None,
            transition: None,
        }),
        ResourceKind::Role => Any::Role(Role { name, policy: Policy::default() }),
        ResourceKind::LogGroup => Any::LogGroup(LogGroup { name, retention: none }),
        ResourceKind::Function => Any::Function(Function {
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
        ResourceKind::Mapping => Any::Mapping(Mapping {
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
            beside_earlier_stream: Arc::default(),
            source_is_new: Arc::default(),
        }),
        ResourceKind::Dashboard => Any::Dashboard(Dashboard { name, body: serde_json::Value::Null }),
        ResourceKind::Topic => Any::Topic(Topic { name, subscribers: Vec::new(), encryption: Encryption::None }),
        ResourceKind::Alarm => Any::Alarm(Alarm {
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
