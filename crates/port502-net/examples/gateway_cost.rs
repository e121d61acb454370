//! A gateway for load generators: `gateway_cost LISTEN UPSTREAM [IN_FLIGHT]`.

use port502_net::gateway::{Gateway, Lane, LaneOptions, Routes};
use port502_net::server::{Options, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (listen, upstream) = (args.next().ok_or("LISTEN")?, args.next().ok_or("UPSTREAM")?);
    let keeper = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let timekeeper = keeper.handle().clone();
    std::thread::spawn(move || keeper.block_on(std::future::pending::<()>()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut options = LaneOptions::default();
        options.in_flight = args.next().map_or(Ok(64), |text| text.parse())?;
        options.timekeeper = Some(timekeeper.clone());
        let lane = Lane::new("upstream", upstream.parse()?, options)?;
        let mut options = Options::default();
        options.timekeeper = Some(timekeeper);
        let server = Server::bind(&listen.parse()?, options)?;
        server.run(Gateway::new(Routes::new().with_rest(&lane))).await?;
        Ok(())
    })
}
