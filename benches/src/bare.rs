//! The baseline of `graphql`: an HTTP server that reads the request and answers bytes that it already has.

use std::path::Path;
use std::process::ExitCode;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use bytes::Bytes;

/// What both servers say that their bytes are.
const ANSWER_TYPE: &str = "application/graphql-response+json; charset=utf-8";

/// Serves at a free port of this machine, which it writes to stdout, until it is killed.
pub(crate) fn serve(answer: &Path) -> ExitCode {
    let answer = match std::fs::read(answer) {
        Ok(answer) => Bytes::from(answer),
        Err(error) => {
            eprintln!("witan-bench: can't read {}: {error}", answer.display());
            return ExitCode::FAILURE;
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("{}", listener.local_addr().expect("a listener has an address"));
        // The body is read, as ours must read it.
        let answering = move |_body: Bytes| std::future::ready(([(CONTENT_TYPE, ANSWER_TYPE)], answer.clone()));
        let router = Router::new().route("/graphql", post(answering));
        axum::serve(listener, router).await.expect("serving goes on until the process is killed");
    });
    ExitCode::SUCCESS
}
