//! The listeners.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use lifecycle::{Lifecycle, Phase};

use super::Edge;
use super::dispatch::handle;
use crate::config::HttpSettings;

/// Serves the public listener as a task of `lifecycle` until its edge phase stops; requests in flight are answered.
///
/// # Errors
/// The listener cannot be used.
pub fn serve_public(
    settings: &HttpSettings,
    edge: web::Data<Edge>,
    listener: TcpListener,
    lifecycle: &Lifecycle,
) -> std::io::Result<()> {
    let workers = match settings.workers {
        0 => std::thread::available_parallelism()?.get(),
        workers => workers,
    };
    let server = HttpServer::new(move || {
        // One handler for every path: the paths of REST come from descriptors, and all errors are ours.
        let near = edge.backends.near();
        App::new()
            .app_data(edge.clone())
            .app_data(near)
            .default_service(web::to(handle))
    })
    .workers(workers)
    .max_connections(settings.max_connections)
    .client_request_timeout(Duration::from_millis(settings.head_timeout_ms))
    .client_disconnect_timeout(Duration::from_secs(1))
    // Answers are small: without this the kernel holds them back for a client's delayed acknowledgement, 40 ms.
    .tcp_nodelay(true)
    .keep_alive(Duration::from_secs(settings.keep_alive_secs))
    .shutdown_timeout(settings.drain_secs)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    lifecycle.spawn_once("http-server", Phase::Edge, move |shutdown| async move {
        let mut server = std::pin::pin!(server);
        tokio::select! {
            ended = &mut server => return Ok(ended?),
            () = shutdown.requested() => {}
        }
        let (_, ended) = tokio::join!(handle.stop(true), server);
        Ok(ended?)
    });
    Ok(())
}
