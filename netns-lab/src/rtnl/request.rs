//! Sending a request and taking its answer apart.

use std::collections::HashMap;

use futures_util::StreamExt;
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE,
    NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkExtentMask, LinkMessage},
};

use super::{Dev, Rtnl, RtnlError, error::explanation};
use crate::Errno;

/// How often a dump is begun again because the table changed under it (`NLM_F_DUMP_INTR`).
/// One repetition is rare; ten in a row mean that somebody changes the table without a pause.
const DUMP_ATTEMPTS_MAX: u32 = 10;
/// The dump is not a consistent picture; see include/uapi/linux/netlink.h.
const NLM_F_DUMP_INTR: u16 = 0x10;

/// What to do if the object is there already, or is not.
#[derive(Clone, Copy)]
pub(super) enum Mode {
    /// Make it; `EEXIST` if it is there.
    Create,
    /// Make it or overwrite it.
    Replace,
    /// Overwrite it; `ENOENT` if it is not there.
    Overwrite,
    /// Make one more, behind those that are there.
    Append,
    /// Make one more, before those that are there.
    Prepend,
    /// Change or delete it.
    Existing,
}

impl Mode {
    fn flags(self) -> u16 {
        match self {
            Self::Create => NLM_F_CREATE | NLM_F_EXCL,
            Self::Replace => NLM_F_CREATE | NLM_F_REPLACE,
            Self::Overwrite => NLM_F_REPLACE,
            Self::Append => NLM_F_CREATE | NLM_F_APPEND,
            Self::Prepend => NLM_F_CREATE,
            Self::Existing => 0,
        }
    }

    /// The verb of ip(8).
    pub(super) fn verb(self) -> &'static str {
        match self {
            Self::Create => "add",
            Self::Replace => "replace",
            Self::Overwrite => "change",
            Self::Append => "append",
            Self::Prepend => "prepend",
            Self::Existing => "del",
        }
    }
}

/// The answer to a dump, with a mark if the table changed while it was read.
struct Dump {
    messages: Vec<RouteNetlinkMessage>,
    torn: bool,
}

impl Rtnl {
    /// Sends a change and waits for the kernel's acknowledgement.
    pub(super) async fn change(
        &self,
        asked: &str,
        message: RouteNetlinkMessage,
        mode: Mode,
    ) -> Result<(), RtnlError> {
        self.exchange(asked, message, NLM_F_ACK | mode.flags()).await.map(drop)
    }

    /// All objects of one kind; begun again while the kernel says that it was interrupted.
    pub(super) async fn dump(
        &self,
        asked: &str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, RtnlError> {
        for _attempt in 0..DUMP_ATTEMPTS_MAX {
            let dump = self.dump_once(asked.to_owned(), message.clone()).await?;
            if !dump.torn {
                return Ok(dump.messages);
            }
        }
        Err(self.unexpected(asked, format!("the table changed during each of {DUMP_ATTEMPTS_MAX} readings")))
    }

    /// In a task of its own: if the caller loses interest, the kernel goes on with the dump, and
    /// the next one has to wait for its end all the same.
    async fn dump_once(&self, asked: String, message: RouteNetlinkMessage) -> Result<Dump, RtnlError> {
        let rtnl = self.clone();
        let closed = self.closed(&asked);
        let task = self.runtime.spawn(async move {
            let _turn = rtnl.dumping.lock().await;
            rtnl.exchange(&asked, message, NLM_F_DUMP).await
        });
        task.await.unwrap_or(Err(closed))
    }

    /// Sends one request and collects what comes until the kernel says that this was all.
    async fn exchange(
        &self,
        asked: &str,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> Result<Dump, RtnlError> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        let mut answers = self.handle.clone().request(request).map_err(|_| self.closed(asked))?;
        let mut dump = Dump { messages: Vec::new(), torn: false };
        while let Some(answer) = answers.next().await {
            dump.torn |= answer.header.flags & NLM_F_DUMP_INTR != 0;
            match answer.payload {
                NetlinkPayload::InnerMessage(inner) => dump.messages.push(inner),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(dump),
                NetlinkPayload::Error(error) => return Err(self.refused(asked, &error)),
                NetlinkPayload::Done(done) if done.code == 0 => return Ok(dump),
                NetlinkPayload::Done(done) => {
                    return Err(self.refused_with(asked, Errno::from_raw(done.code), None));
                }
                other => return Err(self.unexpected(asked, format!("{other:?}"))),
            }
        }
        Err(self.closed(asked))
    }

    /// The interface's index, asking the kernel if it is given by name.
    pub(super) async fn index_of(&self, asked: &str, dev: &Dev) -> Result<u32, RtnlError> {
        match dev {
            Dev::Index(index) => Ok(*index),
            Dev::Name(_) => self.get_link(asked, dev).await.map(|message| message.header.index),
        }
    }

    /// One link, as the kernel describes it.
    pub(super) async fn get_link(&self, asked: &str, dev: &Dev) -> Result<LinkMessage, RtnlError> {
        let mut message = plain_link();
        match dev {
            Dev::Index(index) => message.header.index = *index,
            Dev::Name(name) => message.attributes.push(LinkAttribute::IfName(name.clone())),
        }
        // With the acknowledgement a link that cannot be decoded is an error and not a wait
        // for ever.
        let answer = self.exchange(asked, RouteNetlinkMessage::GetLink(message), NLM_F_ACK).await;
        let found = answer.map_err(|error| match error.errno() {
            Some(Errno::ENODEV) => self.no_such_device(asked, dev),
            _ => error,
        })?;
        found
            .messages
            .into_iter()
            .find_map(|message| match message {
                RouteNetlinkMessage::NewLink(link) => Some(link),
                _ => None,
            })
            .ok_or_else(|| self.unexpected(asked, format!("no description of link {dev}")))
    }

    /// Names by index, for showing dumps.
    pub(super) async fn names(&self) -> Result<Names, RtnlError> {
        let message = RouteNetlinkMessage::GetLink(plain_link());
        let messages = self.dump("ip link show", &message).await?;
        Ok(messages.iter().filter_map(name_of).collect())
    }

    fn closed(&self, asked: &str) -> RtnlError {
        RtnlError::Closed { asked: asked.to_owned(), label: self.label.to_string() }
    }

    fn refused(&self, asked: &str, error: &ErrorMessage) -> RtnlError {
        self.refused_with(asked, Errno::from_raw(error.raw_code()), explanation(&error.header))
    }

    fn refused_with(&self, asked: &str, errno: Errno, kernel_says: Option<String>) -> RtnlError {
        RtnlError::Refused { asked: asked.to_owned(), label: self.label.to_string(), errno, kernel_says }
    }

    fn no_such_device(&self, asked: &str, dev: &Dev) -> RtnlError {
        RtnlError::NoSuchDevice {
            asked: asked.to_owned(),
            label: self.label.to_string(),
            dev: dev.to_string(),
        }
    }

    fn unexpected(&self, asked: &str, what: String) -> RtnlError {
        RtnlError::Unexpected { asked: asked.to_owned(), label: self.label.to_string(), what }
    }
}

/// A question about links without their counters, which are half of the answer
/// (`RTEXT_FILTER_SKIP_STATS`).
pub(super) fn plain_link() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message
}

/// The request contradicts itself.
pub(super) fn invalid(asked: &str, why: impl Into<String>) -> RtnlError {
    RtnlError::Invalid { asked: asked.to_owned(), why: why.into() }
}

/// Interface names by index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(HashMap<u32, String>);

impl Names {
    /// The interface by name if it is known, else by index.
    pub(crate) fn dev(&self, index: u32) -> Dev {
        self.0.get(&index).map_or(Dev::Index(index), |name| Dev::Name(name.clone()))
    }

    /// Takes in what a link notification says.
    pub(crate) fn learn(&mut self, message: &RouteNetlinkMessage) {
        if let RouteNetlinkMessage::DelLink(link) = message {
            self.0.remove(&link.header.index);
        } else if let Some((index, name)) = name_of(message) {
            self.0.insert(index, name);
        }
    }
}

impl FromIterator<(u32, String)> for Names {
    fn from_iter<I: IntoIterator<Item = (u32, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

fn name_of(message: &RouteNetlinkMessage) -> Option<(u32, String)> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some((link.header.index, name.clone())),
        _ => None,
    })
}
