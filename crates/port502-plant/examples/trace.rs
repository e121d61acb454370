//! Prints a plant's variables as CSV, one line a minute: `cargo run -p port502-plant --example trace -- water 24 1`
//! for 24 hours of the water works with seed 1.

use port502_plant::plants;

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "water".to_owned());
    let hours: u32 = args.next().and_then(|hours| hours.parse().ok()).unwrap_or(1);
    let seed: u64 = args.next().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let Some(plant) = plants::find(&name) else {
        let names: Vec<&str> = plants::PLANTS.iter().map(|plant| plant.name).collect();
        eprintln!("there is no plant {name}; there are {}", names.join(", "));
        return;
    };
    let mut process = plant.process(seed);
    let names: Vec<&str> = process.variables().map(|(_, facts)| facts.name).collect();
    println!("minute,{}", names.join(","));
    for minute in 1..=hours.saturating_mul(60) {
        (0..600).for_each(|_| process.step());
        let values: Vec<String> =
            process.variables().map(|(id, _)| format!("{:.3}", process.shown(id))).collect();
        println!("{minute},{}", values.join(","));
    }
}
