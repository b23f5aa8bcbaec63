//! A web service that decodes what strangers send: a decoder that aborts costs one request.
//!
//! `cargo run --example service` serves requests of its own, over a few connections at once.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use forklore::Pool;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

type Anything<T> = Result<T, Box<dyn Error + Send + Sync>>;

const N_CONNECTIONS: usize = 8;
const N_REQUESTS: usize = 400;

/// Adds numbers. Like many a C library, it ends the process where it should have returned an error.
fn decode(body: Vec<u8>) -> u64 {
    let text = String::from_utf8_lossy(&body);
    let numbers = text.split('+').map(str::parse::<u64>);
    numbers
        .map(|number| number.unwrap_or_else(|_| std::process::abort()))
        .sum()
}

async fn answer(pool: Arc<Pool>, request: Request<Incoming>) -> Anything<Response<String>> {
    let body = request.into_body().collect().await?.to_bytes().to_vec();
    let (status, text) = match pool.apply_async(decode, body).await {
        Ok(sum) => (StatusCode::OK, sum.to_string()),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    Ok(Response::builder().status(status).body(text)?)
}

async fn serve(pool: Arc<Pool>, listener: TcpListener) -> Anything<()> {
    loop {
        let stream = TokioIo::new(listener.accept().await?.0);
        let pool = Arc::clone(&pool);
        let service = service_fn(move |request| answer(Arc::clone(&pool), request));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(stream, service));
    }
}

/// Sends every eighth request over one connection, one after the other. Returns how many failed.
async fn ask(address: SocketAddr, first: usize) -> Anything<usize> {
    let stream = TokioIo::new(TcpStream::connect(address).await?);
    let (mut requests, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let mut n_failed = 0;
    for number in (first..N_REQUESTS).step_by(N_CONNECTIONS) {
        let is_bad = number % 100 == 99;
        let body = format!("{number}+{}", if is_bad { "one" } else { "1" });
        requests.ready().await?;
        let (head, body) = requests
            .send_request(Request::post("/").body(body)?)
            .await?
            .into_parts();
        let text = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
        if is_bad {
            assert_eq!(head.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(text.contains("SIGABRT"), "{text}");
            println!("request {number}: {text}");
            n_failed += 1;
        } else {
            assert_eq!(
                (head.status, text),
                (StatusCode::OK, (number + 1).to_string())
            );
        }
    }
    Ok(n_failed)
}

fn main() -> Anything<()> {
    // Before the runtime has threads, workers can be forked, which is the cheapest way.
    let pool = Arc::new(Pool::with_workers(2)?);
    let runtime = tokio::runtime::Runtime::new()?;
    let n_failed = runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(serve(pool, listener));
        let connections: Vec<_> = (0..N_CONNECTIONS)
            .map(|first| tokio::spawn(ask(address, first)))
            .collect();
        let mut n_failed = 0;
        for connection in connections {
            n_failed += connection.await??;
        }
        Anything::Ok(n_failed)
    })?;
    println!(
        "{} of {N_REQUESTS} requests answered",
        N_REQUESTS - n_failed
    );
    assert_eq!(n_failed, N_REQUESTS / 100);
    Ok(())
}
