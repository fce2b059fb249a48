//! The whole way: set-up, a span in a caller's trace, export to a collector when the guard drops.

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use telemetry::{TelemetryConfig, TraceContext, init};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A collector that hands on what it gets.
struct Collector(mpsc::UnboundedSender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let handed_on = self.0.send(request.into_inner());
        handed_on.map_err(|_| Status::unavailable("the test has ended"))?;
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One test, since a process is set up once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn span_joins_its_callers_trace_and_leaves_when_the_guard_drops() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = TelemetryConfig {
        otlp_endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        ..TelemetryConfig::default()
    };
    let (collected, mut collector) = mpsc::unbounded_channel();
    let service = TraceServiceServer::new(Collector(collected));
    let mut servers = JoinSet::new();
    servers.spawn(
        Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );

    let unusable = TelemetryConfig {
        otlp_endpoint: Some("not a uri, token=hunter2".to_owned()),
        ..TelemetryConfig::default()
    };
    let error = init("crm", &unusable).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");

    let guard = init("crm", &config).unwrap();
    assert!(guard.installed());
    let second = init("scoring", &config).unwrap();
    assert!(!second.installed(), "the first call counts");
    drop(second);

    let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let span = tracing::info_span!("handle");
    TraceContext::from_traceparent(caller).adopt(&span);
    let onward = span.in_scope(TraceContext::current).traceparent().unwrap();
    assert!(
        onward.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
        "{onward}"
    );
    drop(span);
    drop(guard);

    let exported = collector.recv().await.unwrap();
    let resource = &exported.resource_spans[0];
    let attributes = format!("{:?}", resource.resource);
    assert!(attributes.contains("\"crm\""), "{attributes}");
    let spans: Vec<&Span> = resource.scope_spans.iter().flat_map(|s| &s.spans).collect();
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(spans[0].name, "handle");
    assert_eq!(hex(&spans[0].trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&spans[0].parent_span_id), "00f067aa0ba902b7");
    assert!(onward.contains(&hex(&spans[0].span_id)), "{onward}");
    servers.shutdown().await;
}
