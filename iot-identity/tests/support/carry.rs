//! TLS connections whose both ends are here: what each has to say is carried to the other.

use alloc::sync::Arc;
use std::io::{Read, Write};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

/// Carries what both have to say; the error is that of the end that gives up.
pub(crate) fn carry(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(())
}

/// A byte there and back.
pub(crate) fn talk(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    let mut byte = [0];
    client.writer().write_all(&[7]).unwrap();
    carry(client, server)?;
    server.reader().read_exact(&mut byte).unwrap();
    server.writer().write_all(&byte).unwrap();
    carry(client, server)?;
    client.reader().read_exact(&mut byte).unwrap();
    assert_eq!(byte, [7]);
    Ok(())
}

/// A handshake with `localhost`, and a byte there and back.
pub(crate) fn connect(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    carry(&mut client, &mut server)?;
    talk(&mut client, &mut server)?;
    Ok((client, server))
}
