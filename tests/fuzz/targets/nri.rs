#![no_main]
//! NRI: frames that a runtime sends, and the containers in them.

use csihost::nri::{ContainerRequest, Decoder, Request, encode};
use libfuzzer_sys::fuzz_target;
use prost::Message as _;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::default();
    for part in bytes.chunks(7) {
        decoder.push(part);
        while let Ok(Some(message)) = decoder.message() {
            let mut again = Decoder::default();
            again.push(&encode(&message).expect("a message that was read can be written"));
            assert_eq!(again.message(), Ok(Some(message.clone())));
            if let Ok(request) = Request::decode(message.payload.as_slice())
                && let Ok(container) = ContainerRequest::decode(request.payload.as_slice())
            {
                let _ = container.into_container();
            }
        }
    }
});
