//! A server that reads appends, throws them away, and says that they are in the object.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

/// Its endpoint. It runs until the process ends.
pub fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(|| serve(stream.unwrap()));
        }
    });
    format!("http://{address}")
}

fn serve(stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::with_capacity(256 * 1024, &stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line == "\r\n" {
                break;
            }
            let line = line.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).unwrap();
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nx-oss-request-id: 1\r\n\
                      x-oss-next-append-position: 1\r\nx-oss-hash-crc64ecma: 1\r\n\r\n";
        (&stream).write_all(answer.as_bytes()).unwrap();
    }
}
