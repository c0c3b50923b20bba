//! The fake node as a task: it understands what the conformance suite asks of the real one.

use std::sync::Arc;
use std::time::Duration;

use skew_deploy::{FakeBackend, FakeEnd, FakeProcess, FakeProgram, Stream};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::conformance::no_image;

pub(crate) fn backend() -> FakeBackend {
    let program: FakeProgram = Arc::new(|process| Box::pin(run(process)));
    FakeBackend::new([("fake_node".to_owned(), program)]).unwrap().without(no_image())
}

async fn run(process: FakeProcess) -> FakeEnd {
    let mut args = process.argv.iter().skip(1);
    while let Some(word) = args.next() {
        let mut next = || args.next().cloned().unwrap_or_default();
        match word.as_str() {
            "log" => process.say(Stream::Stdout, &next()).await,
            "err" => process.say(Stream::Stderr, &next()).await,
            "env" => {
                let value = process.env.get(&next()).cloned().unwrap_or_default();
                process.say(Stream::Stdout, &value).await;
            }
            "spam" => {
                for n in 0..next().parse::<usize>().unwrap() {
                    process.say(Stream::Stdout, &format!("spam {n}")).await;
                }
            }
            "write" => process.write(&next(), next().as_bytes()),
            "cat" => match process.read(&next()) {
                Some(bytes) => process.say(Stream::Stdout, String::from_utf8_lossy(&bytes).trim_end()).await,
                None => return FakeEnd::Status(1),
            },
            "stdin" => process.say(Stream::Stdout, &String::from_utf8_lossy(&process.stdin)).await,
            "serve" => {
                let (address, _) = (next(), next());
                let Ok(listener) = TcpListener::bind(&address).await else { return FakeEnd::Status(1) };
                process.say(Stream::Stdout, &format!("listening on {address}")).await;
                serve(listener).await; // not beside it: it ends when its process does
            }
            "call" => match call(&next(), &next()).await {
                Some(answer) => process.say(Stream::Stdout, &answer).await,
                None => return FakeEnd::Status(1),
            },
            "exit" => return FakeEnd::Status(next().parse().unwrap()),
            "abort" => return FakeEnd::Signal(6),
            "ignore-term" => process.ignore_stop(),
            "sleep" => tokio::time::sleep(Duration::from_millis(next().parse().unwrap())).await,
            "hang" => tokio::time::sleep(Duration::from_secs(3600)).await,
            _ => return FakeEnd::Status(2),
        }
    }
    FakeEnd::Status(0)
}

async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let _ = write.write_all(format!("echo {line}\n").as_bytes()).await;
        }
    }
}

async fn call(address: &str, line: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(format!("{line}\n").as_bytes()).await.ok()?;
    BufReader::new(stream).lines().next_line().await.ok()?
}
