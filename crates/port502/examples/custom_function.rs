//! A function of your own: code 65, which the specification leaves to users, on both sides.
//!
//! The request carries a text, the response the same text in capital letters.

use std::error::Error;

use port502::server::{self, Context, Device, DeviceResult, Server};
use port502::wire::FunctionSet;
use port502::{Client, ExceptionCode, FunctionCode, Options, Request, Response, Target};

const SHOUT: FunctionCode = FunctionCode(65);

struct Shouter;

impl Device for Shouter {
    fn functions(&self) -> FunctionSet {
        FunctionSet::EMPTY.with(SHOUT)
    }

    fn other<'b>(
        &self,
        _: &Context<'_>,
        _: FunctionCode,
        data: &[u8],
        out: &'b mut [u8],
    ) -> DeviceResult<&'b [u8]> {
        if data.is_empty() {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let out = out.get_mut(..data.len()).ok_or(ExceptionCode::ServerDeviceFailure)?;
        out.copy_from_slice(&data.to_ascii_uppercase());
        Ok(out)
    }
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind(&Target::tcp("127.0.0.1", 0), server::Options::default())?;
    let target = server.target().clone();
    tokio::spawn(server.run(Shouter));

    let client = Client::connect(target, Options::default()).await?;
    let shouter = client.unit(1);
    let answer = shouter.call(&Request::Other { function: SHOUT.0, data: b"is anybody there?" }).await?;
    if let Response::Other { data, .. } = answer.response()? {
        println!("{}", String::from_utf8_lossy(data));
    }

    // What the device refuses is an exception, as with any function.
    if let Err(error) = shouter.call(&Request::Other { function: SHOUT.0, data: b"" }).await {
        println!("{error}");
    }
    Ok(())
}
