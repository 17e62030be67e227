//! Ports of the pod that somebody serves: what a client on the node goes to.

use super::space::Space;
use crate::pod::Ports;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// Connections that may wait to be taken.
const BACKLOG: i32 = 128;
/// The longest datagram that is sent back.
const DATAGRAM_MAX: usize = 2048;

/// Servers that end when they are dropped.
#[derive(Default)]
pub(super) struct Served(Vec<JoinHandle<()>>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Space {
    /// Serves these ports, on whatever addresses the namespace will have, until it ends.
    pub(super) fn serve(&mut self, ports: &Ports) -> io::Result<()> {
        let mut served = Served::default();
        for port in &ports.tcp {
            let listener = TcpListener::from_std(self.socket(*port, Type::STREAM)?.into())?;
            served.0.push(tokio::spawn(accept(listener)));
        }
        for port in &ports.udp {
            let socket = UdpSocket::from_std(self.socket(*port, Type::DGRAM)?.into())?;
            served.0.push(tokio::spawn(echo(socket)));
        }
        self.served = served;
        Ok(())
    }

    fn socket(&self, port: u16, kind: Type) -> io::Result<Socket> {
        let open = move || {
            let protocol = if kind == Type::STREAM { Protocol::TCP } else { Protocol::UDP };
            let socket = Socket::new(Domain::IPV6, kind, Some(protocol))?;
            socket.set_only_v6(false)?;
            socket.set_nonblocking(true)?;
            socket.bind(&SockAddr::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))))?;
            if kind == Type::STREAM {
                socket.listen(BACKLOG)?;
            }
            Ok(socket)
        };
        self.netns.exec(open).map_err(io::Error::other)?
    }
}

async fn accept(listener: TcpListener) {
    // a connection that broke before it was taken is nobody's
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    }
}

async fn echo(socket: UdpSocket) {
    let mut bytes = vec![0; DATAGRAM_MAX];
    while let Ok((length, from)) = socket.recv_from(&mut bytes).await {
        let _ = socket.send_to(&bytes[..length], from).await;
    }
}
