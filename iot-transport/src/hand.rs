//! Copying a message into the buffer of whoever asked for it.

use iot_core::{Message, Peer};

/// How long a buffer must be for `message`.
pub(crate) fn needed(message: &Message<'_>) -> usize {
    let names = message
        .peer
        .map_or(0, |peer| peer.tenant().len() + peer.device().len());
    message.payload.len() + names
}

/// Copies `message` to `buffer`: the payload, then the names; `None` when it does not fit.
pub(crate) fn copy<'b>(message: &Message<'_>, buffer: &'b mut [u8]) -> Option<Message<'b>> {
    let (payload, rest) = buffer.split_at_mut_checked(message.payload.len())?;
    payload.copy_from_slice(message.payload);
    let mut copy = Message::new(message.channel, payload)
        .with_priority(message.priority)
        .with_qos(message.qos);
    copy.expires_in = message.expires_in;
    if let Some(peer) = message.peer {
        let (tenant, rest) = rest.split_at_mut_checked(peer.tenant().len())?;
        let device = rest.get_mut(..peer.device().len())?;
        tenant.copy_from_slice(peer.tenant().as_bytes());
        device.copy_from_slice(peer.device().as_bytes());
        let text = |bytes| core::str::from_utf8(bytes).ok();
        copy = copy.to(Peer::parse(text(tenant)?, text(device)?).ok()?);
    }
    Some(copy)
}
