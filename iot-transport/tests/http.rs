//! Images over HTTP: against a well-known server, and against answers that no server should give.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may fail loudly"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use iot_core::port::ImageSource;
use iot_transport::http::{HttpError, HttpImage};
use iot_transport::mqtt::Tcp;

/// Generous, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

type Image = HttpImage<Tcp>;

fn image_at(address: SocketAddr) -> Image {
    HttpImage::new(Tcp::new(address.to_string()), "http://images.example/7.bin").unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, future)
            .await
            .expect("it took too long")
    })
}

/// Answers one request after the other over one connection after the other; an empty answer ends the connection.
/// Returns, when all were asked for, what was asked.
fn server(answers: Vec<Vec<String>>) -> (SocketAddr, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let mut asked = Vec::new();
        for connection in answers {
            let (mut stream, _) = listener.accept().unwrap();
            for answer in connection {
                asked.push(request(&mut stream));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        }
        asked
    };
    (address, thread::spawn(serve))
}

fn request(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn part(range: &str, tag: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {range}\r\nContent-Length: {length}\r\n{tag}\r\n{body}"
    )
}

#[test]
fn parts_come_over_one_connection_and_the_second_asks_for_the_same_image() {
    let tag = "ETag: \"one\"\r\n";
    let (address, served) = server(vec![vec![
        part("0-3/6", tag, "abcd"),
        part("4-5/6", tag, "ef"),
        "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n".into(),
    ]]);
    run(async {
        let mut image = image_at(address)
            .with_header("authorization", "Bearer secret")
            .unwrap();
        let mut block = [0; 4];
        assert_eq!(image.read(0, &mut block).await.unwrap(), 4);
        assert_eq!((&block, image.size()), (b"abcd", Some(6)));
        assert_eq!(image.read(4, &mut block).await.unwrap(), 2);
        assert_eq!(&block[..2], b"ef");
        assert_eq!(image.read(6, &mut block).await.unwrap(), 0);
        assert_eq!(image.read(6, &mut []).await.unwrap(), 0);
        assert!(!format!("{image:?}").contains("secret"));
    });
    let asked = served.join().unwrap();
    for line in [
        "GET /7.bin HTTP/1.1",
        "host: images.example",
        "range: bytes=0-3",
        "accept-encoding: identity",
        "authorization: Bearer secret",
    ] {
        assert!(
            asked[0].lines().any(|found| found == line),
            "{line} is not in {}",
            asked[0]
        );
    }
    assert!(!asked[0].contains("if-range"));
    assert!(
        asked[1].contains("range: bytes=4-7\r\n") && asked[1].contains("if-range: \"one\"\r\n")
    );
}

#[test]
fn a_connection_that_the_server_has_closed_is_replaced_without_a_word() {
    let (address, served) = server(vec![
        // It reads the second request, and does not answer.
        vec![part("0-3/6", "", "abcd"), String::new()],
        vec![part("4-5/6", "Connection: close\r\n", "ef")],
        vec![part("4-5/6", "", "ef")],
    ]);
    run(async {
        let mut image = image_at(address);
        let mut block = [0; 4];
        for (offset, bytes) in [(0, 4), (4, 2), (4, 2)] {
            assert_eq!(image.read(offset, &mut block).await.unwrap(), bytes);
        }
    });
    served.join().unwrap();
}

#[test]
fn a_read_that_was_dropped_leaves_nothing_behind() {
    // The first answer never comes whole; the part after it comes over a new connection.
    let half = part("0-3/6", "", "abcd").replace("abcd", "ab");
    let (address, served) = server(vec![vec![half], vec![part("0-3/6", "", "abcd")]]);
    run(async {
        let mut image = image_at(address);
        let mut block = [0; 4];
        {
            let mut reading = core::pin::pin!(image.read(0, &mut block));
            // The server ends the connection, but never before it has read the request.
            assert!(futures::poll!(&mut reading).is_pending());
        }
        assert_eq!(image.read(0, &mut block).await.unwrap(), 4);
        assert_eq!(&block, b"abcd");
    });
    drop(served);
}

#[test]
fn an_image_that_was_replaced_is_told_and_the_new_one_may_be_read() {
    let (one, two) = ("ETag: \"one\"\r\n", "ETag: \"two\"\r\n");
    let whole = format!("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n{two}\r\nghijkl");
    for changed in [whole, part("4-5/6", two, "kl"), part("4-5/7", one, "ef")] {
        let (address, served) = server(vec![
            vec![part("0-3/6", one, "abcd"), changed],
            vec![part("0-3/6", two, "ghij")],
        ]);
        run(async {
            let mut image = image_at(address);
            let mut block = [0; 4];
            assert_eq!(image.read(0, &mut block).await.unwrap(), 4);
            let error = image.read(4, &mut block).await.unwrap_err();
            assert!(
                matches!(error, HttpError::Changed) && !error.is_transient(),
                "{error:?}"
            );
            assert_eq!(image.read(0, &mut block).await.unwrap(), 4);
            assert_eq!(&block, b"ghij");
        });
        let asked = served.join().unwrap();
        assert!(!asked[2].contains("if-range"), "{}", asked[2]);
    }
}

#[test]
fn an_answer_that_is_not_the_part_is_refused_and_never_written_as_one() {
    let long = part("0-3/6", "", "abcd").replace("Content-Length: 4", "Transfer-Encoding: chunked");
    let long = long.replace("abcd", "6\r\nabcdef\r\n0\r\n\r\n");
    for (answer, what) in [
        (part("1-4/6", "", "bcde"), "another place"),
        (part("0-5/6", "", "abcdef"), "more than was asked for"),
        (long, "more than it says"),
        (part("0-3/6", "", "abc"), "less than it says"),
        (
            part("0-3/6", "Content-Encoding: gzip\r\n", "abcd"),
            "compressed",
        ),
        (
            part("0-3/6", "", "abcd").replace("Content-Range", "Content-Rage"),
            "no range",
        ),
    ] {
        let (address, served) = server(vec![vec![answer]]);
        run(async {
            let mut block = [0; 4];
            let error = image_at(address).read(0, &mut block).await.unwrap_err();
            assert!(matches!(error, HttpError::Answer), "{what}: {error:?}");
        });
        served.join().unwrap();
    }
}

#[test]
fn a_server_without_ranges_and_each_status_is_told_by_name() {
    let status = |line: &str| format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
    for (answer, transient, text) in [
        (
            format!("{}abcdef", status("200 OK").replace(": 0", ": 6")),
            false,
            "must serve ranges",
        ),
        (status("404 Not Found"), false, "status 404"),
        (status("302 Found"), false, "status 302"),
        (status("429 Too Many Requests"), true, "status 429"),
        (status("503 Service Unavailable"), true, "status 503"),
        (
            "SSH-2.0-none\r\n\r\n".into(),
            true,
            "ended before the answer",
        ),
    ] {
        let (address, served) = server(vec![vec![answer]]);
        run(async {
            let error = image_at(address).read(0, &mut [0; 4]).await.unwrap_err();
            assert_eq!(error.is_transient(), transient, "{error}");
            assert!(error.to_string().contains(text), "{error}");
        });
        served.join().unwrap();
    }
}

#[test]
fn a_head_without_end_is_not_kept_in_memory() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        request(&mut stream);
        let mut sent = 0_usize;
        stream
            .write_all(b"HTTP/1.1 206 Partial Content\r\nX: ")
            .unwrap();
        while stream.write_all(&[b'x'; 4_096]).is_ok() && sent < 64 << 20 {
            sent += 4_096;
        }
        sent
    });
    run(async {
        let error = image_at(address).read(0, &mut [0; 4]).await.unwrap_err();
        assert!(matches!(error, HttpError::Lost(_)), "{error:?}");
    });
    // What the two sockets hold is a few megabytes.
    assert!(served.join().unwrap() < 64 << 20);
}

#[test]
fn what_is_no_image_of_a_server_is_refused_at_once() {
    let new = |url: &str| HttpImage::new(Tcp::new("127.0.0.1:1"), url).map(drop);
    for bad in [
        "",
        "/7.bin",
        "ftp://images.example/7.bin",
        "http://me:secret@images.example/7.bin",
        "coap://a/b",
    ] {
        assert!(new(bad).is_err(), "{bad}");
    }
    assert_eq!(new("https://images.example"), Ok(()));
    let image = || HttpImage::new(Tcp::new("127.0.0.1:1"), "http://images.example/7.bin").unwrap();
    for (name, value) in [("range", "bytes=0-0"), ("x y", "1"), ("x", "a\r\nb")] {
        assert!(image().with_header(name, value).is_err(), "{name}");
    }
    let error = run(async { image().read(0, &mut [0; 1]).await.unwrap_err() });
    assert!(matches!(error, HttpError::Unreachable(_)) && error.is_transient());
}

/// A server of its own, ended with the test.
struct Nginx {
    process: Child,
    address: SocketAddr,
}

impl Nginx {
    fn start(folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let at = folder.display();
        // Three answers to a connection: it has to be opened again often.
        let conf = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
             events {{}}
             http {{
                 access_log off; keepalive_requests 3;
                 client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;
                 uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
                 server {{ listen {address}; root {at}; }}
             }}"
        );
        std::fs::write(folder.join("conf"), conf).unwrap();
        let process = Command::new("nginx")
            .args([
                "-p".as_ref(),
                folder,
                "-c".as_ref(),
                &folder.join("conf"),
                "-e".as_ref(),
                &folder.join("error.log"),
            ])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { process, address };
        let begun = std::time::Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the server did not start");
            thread::sleep(Duration::from_millis(20));
        }
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "needs nginx"]
fn a_well_known_server_gives_an_image_in_parts_and_a_new_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let firmware: Vec<u8> = (0..100_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(folder.path().join("7.bin"), &firmware).unwrap();
    let nginx = Nginx::start(folder.path());
    run(async {
        let mut image = image_at(nginx.address);
        let (mut read, mut block) = (Vec::new(), [0; 4_096]);
        loop {
            let offset = u32::try_from(read.len()).unwrap();
            let bytes = image.read(offset, &mut block).await.unwrap();
            read.extend_from_slice(&block[..bytes]);
            if bytes == 0 {
                break;
            }
        }
        assert!(read == firmware);
        assert_eq!(image.size(), Some(100_000));
        std::fs::write(folder.path().join("7.bin"), &firmware[..90_000]).unwrap();
        let error = image.read(0, &mut block).await.unwrap_err();
        assert!(matches!(error, HttpError::Changed), "{error:?}");
        assert_eq!(
            image.read(86_016, &mut block).await.unwrap(),
            90_000 - 86_016
        );
        let missing = HttpImage::new(
            Tcp::new(nginx.address.to_string()),
            "http://images.example/8.bin",
        );
        let error = missing.unwrap().read(0, &mut block).await.unwrap_err();
        assert!(
            matches!(error, HttpError::Status { code: 404 }),
            "{error:?}"
        );
    });
}
