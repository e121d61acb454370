##! Southgate district heating: what the guard would refuse.
##! Made by `port502 export --to zeek`; make it anew instead of changing it.
##!
##! Load it with `@load` from local.zeek, or name it on the command line.
##!
##! Not in it:
##! - how many connections and requests there may be
##! - guard boiler-conduit, rule 2 (write boiler): of boiler.supply_sp: its step
##! - guard boiler-conduit, rule 4 (write boiler): of boiler.supply_sp: its step
##! - guard pump-conduit, rule 2 (write pump): of pump.speed_sp: its step
##! - guard pump-conduit, rule 4 (write pump): of pump.speed_sp: its step
##! - guard substation-conduit, rule 2 (write substation): of substation.valve_sp: its limits
##! - guard substation-conduit, rule 2 (write substation): of substation.room_sp: its limits, its step
##! - guard substation-conduit, rule 4 (write substation): of substation.valve_sp: its limits
##! - guard substation-conduit, rule 4 (write substation): of substation.room_sp: its limits, its step

@load base/frameworks/notice
@load base/protocols/modbus

module Port502_southgate_district_heating;

export {
	## What the guard would refuse, by why.
	redef enum Notice::Type += {
		## A client connects that no rule allows anything, or somebody goes round the guard.
		Client,
		## A unit is asked that the client may ask for nothing.
		Unit,
		## A function is asked for that the client may not use on this unit.
		Function,
		## Something is read or written where the client may not.
		Address,
		## Something is written that is no value for this place.
		Value,
	};

	## How long the same of one client is not told again.
	const quiet_for = 10 min &redef;
}

## From one number to another, both included.
type Span: record {
	first: count;
	last: count;
};

## Where a rule is for.
type Place: record {
	## coils, discretes, input or holding.
	where: string;
	first: count;
	last: count;
	## For what is written there, not for what is read.
	written: bool &default=F;
	## What each of these may become has limits.
	limited: bool &default=F;
	low: count &default=0;
	high: count &default=65535;
	## It is one value, written as a whole or not at all.
	whole: bool &default=F;
	## It is these bits, written by function 22.
	bits: count &default=0;
};

type Rule: record {
	name: string;
	allow: bool;
	## None: everybody.
	clients: set[subnet] &default=set();
	units: vector of Span;
	## None: all.
	functions: set[count] &default=set();
	## None: everywhere, and what is nowhere.
	places: vector of Place &default=vector();
};

## A place where a conduit is entered.
type Door: record {
	conduit: string;
	## None: whatever the address.
	hosts: set[addr] &default=set();
	p: port;
	## Who may come in; none: everybody.
	clients: set[subnet] &default=set();
	## What goes in cannot be read.
	encrypted: bool &default=F;
};

## A device that is reached through the guard only.
type Guarded: record {
	conduit: string;
	host: addr;
	p: port;
	guards: set[addr];
};

## A coil or a register that a request is about.
type Item: record {
	where: string;
	address: count;
	written: bool &default=F;
	## What it becomes, where that is known.
	value: count &optional;
	## All that is written with it.
	first: count &default=0;
	last: count &default=0;
	## The bits that stay, of function 22.
	stay: count &optional;
};

global doors: vector of Door = vector();
global guarded: vector of Guarded = vector();
global rules: table[string] of vector of Rule = table();

## Functions whose requests have an event of their own, with addresses.
const with_places: set[count] = { 1, 2, 3, 4, 5, 6, 15, 16, 22, 23, 24 };

function tell(c: connection, note: Notice::Type, conduit: string, what: string)
	{
	NOTICE([$note=note, $conn=c, $msg=fmt("guard %s: %s %s", conduit, c$id$orig_h, what),
	        $sub=conduit, $identifier=cat(conduit, c$id$orig_h, what), $suppress_for=quiet_for]);
	}

## The place in doors; -1 for what is none.
function door_of(c: connection): int
	{
	for ( i in doors )
		{
		local door = doors[i];
		if ( door$p == c$id$resp_p && ( |door$hosts| == 0 || c$id$resp_h in door$hosts ) )
			return i;
		}
	return -1;
	}

function asks(rule: Rule, client: addr, unit: count): bool
	{
	if ( |rule$clients| > 0 && client !in rule$clients )
		return F;
	for ( i in rule$units )
		{
		if ( rule$units[i]$first <= unit && unit <= rule$units[i]$last )
			return T;
		}
	return F;
	}

function does(rule: Rule, fc: count): bool
	{
	return |rule$functions| == 0 || fc in rule$functions;
	}

function covers(place: Place, item: Item): bool
	{
	return place$where == item$where && place$first <= item$address && item$address <= place$last
	    && ( item$written || ! place$written );
	}

function takes(place: Place, item: Item, allow: bool): bool
	{
	if ( ! item$written )
		return T;
	if ( place$bits != 0 )
		return item?$stay && item$stay == 65535 - place$bits;
	if ( place$whole && ( item$first > place$first || item$last < place$last ) )
		return F;
	if ( ! place$limited )
		return T;
	# What is not known may be what is denied, and may not be what is allowed.
	if ( ! item?$value )
		return ! allow;
	return place$low <= item$value && item$value <= place$high;
	}

## Whether an item may be asked for; tells if not.
function judge(c: connection, conduit: string, headers: ModbusHeaders, item: Item): bool
	{
	local fc = headers$function_code;
	local seen_function = F;
	local seen_address = F;
	if ( conduit in rules )
		{
		for ( i in rules[conduit] )
			{
			local rule = rules[conduit][i];
			if ( ! asks(rule, c$id$orig_h, headers$uid) || ! does(rule, fc) )
				next;
			if ( rule$allow )
				seen_function = T;
			if ( |rule$places| == 0 )
				{
				if ( rule$allow )
					return T;
				tell(c, Function, conduit, fmt("asks unit %d for function %d, which rule \"%s\" denies", headers$uid, fc, rule$name));
				return F;
				}
			for ( j in rule$places )
				{
				local place = rule$places[j];
				if ( ! covers(place, item) )
					next;
				if ( rule$allow )
					seen_address = T;
				if ( ! takes(place, item, rule$allow) )
					next;
				if ( rule$allow )
					return T;
				tell(c, Address, conduit, fmt("asks unit %d for function %d at %s:%d, which rule \"%s\" denies",
				                              headers$uid, fc, item$where, item$address, rule$name));
				return F;
				}
			}
		}
	if ( seen_address )
		tell(c, Value, conduit, fmt("writes to unit %d by function %d what may not be at %s:%d",
		                            headers$uid, fc, item$where, item$address));
	else if ( seen_function )
		tell(c, Address, conduit, fmt("asks unit %d for function %d at %s:%d", headers$uid, fc, item$where, item$address));
	# That the function is not allowed is told by modbus_message.
	return F;
	}

## What is read.
function reads(c: connection, headers: ModbusHeaders, where: string, first: count, quantity: count)
	{
	local at = door_of(c);
	if ( at < 0 )
		return;
	local address = first;
	while ( address < first + quantity )
		{
		if ( ! judge(c, doors[at]$conduit, headers, Item($where=where, $address=address)) )
			return;
		++address;
		}
	}

## What is written.
function writes(c: connection, headers: ModbusHeaders, where: string, first: count, values: vector of count)
	{
	local at = door_of(c);
	if ( at < 0 || |values| == 0 )
		return;
	local last = first + |values| - 1;
	for ( i in values )
		{
		if ( ! judge(c, doors[at]$conduit, headers,
		             Item($where=where, $address=first + i, $written=T, $value=values[i], $first=first, $last=last)) )
			return;
		}
	}

function bits(coils: ModbusCoils): vector of count
	{
	local values: vector of count = vector();
	for ( i in coils )
		values += ( coils[i] ? 1 : 0 );
	return values;
	}

event new_connection(c: connection)
	{
	local at = door_of(c);
	if ( at >= 0 && |doors[at]$clients| > 0 && c$id$orig_h !in doors[at]$clients )
		tell(c, Client, doors[at]$conduit, fmt("connects to %s, which no rule allows it", c$id$resp_p));
	for ( i in guarded )
		{
		local device = guarded[i];
		if ( c$id$resp_h == device$host && c$id$resp_p == device$p && c$id$orig_h !in device$guards )
			tell(c, Client, device$conduit, fmt("goes round the guard to %s", device$host));
		}
	}

event modbus_message(c: connection, headers: ModbusHeaders, is_orig: bool)
	{
	local at = door_of(c);
	if ( ! is_orig || at < 0 )
		return;
	local conduit = doors[at]$conduit;
	local fc = headers$function_code;
	local seen_client = F;
	local seen_unit = F;
	if ( conduit in rules )
		{
		for ( i in rules[conduit] )
			{
			local rule = rules[conduit][i];
			if ( rule$allow && ( |rule$clients| == 0 || c$id$orig_h in rule$clients ) )
				seen_client = T;
			if ( ! asks(rule, c$id$orig_h, headers$uid) )
				next;
			if ( rule$allow )
				seen_unit = T;
			if ( ! does(rule, fc) )
				next;
			if ( fc in with_places )
				{
				# Where is a matter of its own event.
				if ( rule$allow )
					return;
				}
			else if ( |rule$places| == 0 )
				{
				if ( ! rule$allow )
					tell(c, Function, conduit, fmt("asks unit %d for function %d, which rule \"%s\" denies", headers$uid, fc, rule$name));
				return;
				}
			}
		}
	if ( seen_unit )
		tell(c, Function, conduit, fmt("asks unit %d for function %d", headers$uid, fc));
	else if ( seen_client )
		tell(c, Unit, conduit, fmt("asks unit %d, for function %d", headers$uid, fc));
	# Who may do nothing was told when connecting.
	}

event modbus_read_coils_request(c: connection, headers: ModbusHeaders, start_address: count, quantity: count)
	{
	reads(c, headers, "coils", start_address, quantity);
	}

event modbus_read_discrete_inputs_request(c: connection, headers: ModbusHeaders, start_address: count, quantity: count)
	{
	reads(c, headers, "discretes", start_address, quantity);
	}

event modbus_read_holding_registers_request(c: connection, headers: ModbusHeaders, start_address: count, quantity: count)
	{
	reads(c, headers, "holding", start_address, quantity);
	}

event modbus_read_input_registers_request(c: connection, headers: ModbusHeaders, start_address: count, quantity: count)
	{
	reads(c, headers, "input", start_address, quantity);
	}

event modbus_read_fifo_queue_request(c: connection, headers: ModbusHeaders, start_address: count)
	{
	reads(c, headers, "holding", start_address, 1);
	}

event modbus_write_single_coil_request(c: connection, headers: ModbusHeaders, address: count, value: bool)
	{
	writes(c, headers, "coils", address, vector(value ? 1 : 0));
	}

event modbus_write_single_register_request(c: connection, headers: ModbusHeaders, address: count, value: count)
	{
	writes(c, headers, "holding", address, vector(value));
	}

event modbus_write_multiple_coils_request(c: connection, headers: ModbusHeaders, start_address: count, coils: ModbusCoils)
	{
	writes(c, headers, "coils", start_address, bits(coils));
	}

event modbus_write_multiple_registers_request(c: connection, headers: ModbusHeaders, start_address: count, registers: ModbusRegisters)
	{
	writes(c, headers, "holding", start_address, registers);
	}

event modbus_mask_write_register_request(c: connection, headers: ModbusHeaders, address: count, and_mask: count, or_mask: count)
	{
	local at = door_of(c);
	if ( at >= 0 )
		judge(c, doors[at]$conduit, headers,
		      Item($where="holding", $address=address, $written=T, $first=address, $last=address, $stay=and_mask));
	}

event modbus_read_write_multiple_registers_request(c: connection, headers: ModbusHeaders, read_start_address: count, read_quantity: count, write_start_address: count, write_registers: ModbusRegisters)
	{
	reads(c, headers, "holding", read_start_address, read_quantity);
	writes(c, headers, "holding", write_start_address, write_registers);
	}


# ---- this site ----

event zeek_init()
	{
	Analyzer::register_for_ports(Analyzer::ANALYZER_MODBUS, set(1502/tcp, 1503/tcp, 1504/tcp));

	# guard boiler-conduit: device boiler
	doors += Door($conduit="boiler-conduit", $p=1502/tcp, $hosts=set(10.20.1.5), $clients=set(10.20.0.0/24, 10.20.8.0/24)); # tcp://0.0.0.0:1502
	guarded += Guarded($conduit="boiler-conduit", $host=10.20.2.11, $p=502/tcp, $guards=set(10.20.1.5));
	rules["boiler-conduit"] = vector();
	# 1. allow zone control: unit 1, function 1, 2, 3, 4 at coil:0-2, discrete:0-1, input:0-5, holding:0
	rules["boiler-conduit"] += Rule($name="read boiler", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=1, $last=1)), $functions=set(1, 2, 3, 4),
		$places=vector(Place($where="coils", $first=0, $last=2),
		               Place($where="discretes", $first=0, $last=1),
		               Place($where="input", $first=0, $last=5),
		               Place($where="holding", $first=0, $last=0)));
	# 2. allow zone control as role operator: unit 1, function 5, 6, 15, 16 of boiler.run at coil:0 = 0 to 1, boiler.curve at coil:1 = 0 to 1, boiler.reset at coil:2 = 0 to 1, boiler.supply_sp at holding:0 = 600 to 1000 (steps of 100 at most)
	rules["boiler-conduit"] += Rule($name="write boiler", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=1, $last=1)), $functions=set(5, 6, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="coils", $first=1, $last=1, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="coils", $first=2, $last=2, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=0, $last=0, $written=T, $limited=T, $low=600, $high=1000)));
	# 3. allow zone operations: unit 1, function 1, 2, 3, 4 at coil:0-2, discrete:0-1, input:0-5, holding:0
	rules["boiler-conduit"] += Rule($name="read boiler", $allow=T, $clients=set(10.20.8.0/24), $units=vector(Span($first=1, $last=1)), $functions=set(1, 2, 3, 4),
		$places=vector(Place($where="coils", $first=0, $last=2),
		               Place($where="discretes", $first=0, $last=1),
		               Place($where="input", $first=0, $last=5),
		               Place($where="holding", $first=0, $last=0)));
	# 4. allow zone operations as role operator: unit 1, function 5, 6, 15, 16 of boiler.run at coil:0 = 0 to 1, boiler.curve at coil:1 = 0 to 1, boiler.reset at coil:2 = 0 to 1, boiler.supply_sp at holding:0 = 600 to 1000 (steps of 100 at most)
	rules["boiler-conduit"] += Rule($name="write boiler", $allow=T, $clients=set(10.20.8.0/24), $units=vector(Span($first=1, $last=1)), $functions=set(5, 6, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="coils", $first=1, $last=1, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="coils", $first=2, $last=2, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=0, $last=0, $written=T, $limited=T, $low=600, $high=1000)));

	# guard pump-conduit: device pump
	doors += Door($conduit="pump-conduit", $p=1503/tcp, $hosts=set(10.20.1.5), $clients=set(10.20.0.0/24, 10.20.8.0/24)); # tcp://0.0.0.0:1503
	guarded += Guarded($conduit="pump-conduit", $host=10.20.2.12, $p=502/tcp, $guards=set(10.20.1.5));
	rules["pump-conduit"] = vector();
	# 1. allow zone control: unit 2, function 1, 3, 4 at coil:0, input:0-3, holding:0
	rules["pump-conduit"] += Rule($name="read pump", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=2, $last=2)), $functions=set(1, 3, 4),
		$places=vector(Place($where="coils", $first=0, $last=0),
		               Place($where="input", $first=0, $last=3),
		               Place($where="holding", $first=0, $last=0)));
	# 2. allow zone control as role operator: unit 2, function 5, 6, 15, 16 of pump.run at coil:0 = 0 to 1, pump.speed_sp at holding:0 = 300 to 1000 (steps of 200 at most)
	rules["pump-conduit"] += Rule($name="write pump", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=2, $last=2)), $functions=set(5, 6, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=0, $last=0, $written=T, $limited=T, $low=300, $high=1000)));
	# 3. allow zone operations: unit 2, function 1, 3, 4 at coil:0, input:0-3, holding:0
	rules["pump-conduit"] += Rule($name="read pump", $allow=T, $clients=set(10.20.8.0/24), $units=vector(Span($first=2, $last=2)), $functions=set(1, 3, 4),
		$places=vector(Place($where="coils", $first=0, $last=0),
		               Place($where="input", $first=0, $last=3),
		               Place($where="holding", $first=0, $last=0)));
	# 4. allow zone operations as role operator: unit 2, function 5, 6, 15, 16 of pump.run at coil:0 = 0 to 1, pump.speed_sp at holding:0 = 300 to 1000 (steps of 200 at most)
	rules["pump-conduit"] += Rule($name="write pump", $allow=T, $clients=set(10.20.8.0/24), $units=vector(Span($first=2, $last=2)), $functions=set(5, 6, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=0, $last=0, $written=T, $limited=T, $low=300, $high=1000)));

	# guard substation-conduit: device substation
	doors += Door($conduit="substation-conduit", $p=1504/tcp, $hosts=set(10.20.1.5), $clients=set(10.20.0.0/24, 10.20.8.0/24)); # tcp://0.0.0.0:1504
	guarded += Guarded($conduit="substation-conduit", $host=10.20.2.31, $p=502/tcp, $guards=set(10.20.1.5));
	rules["substation-conduit"] = vector();
	# 1. allow zone control: unit 3, function 1, 3, 4 at coil:0, input:0-9, holding:0-3
	rules["substation-conduit"] += Rule($name="read substation", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=3, $last=3)), $functions=set(1, 3, 4),
		$places=vector(Place($where="coils", $first=0, $last=0),
		               Place($where="input", $first=0, $last=9),
		               Place($where="holding", $first=0, $last=3)));
	# 2. allow zone control as role operator: unit 3, function 5, 15, 16 of substation.auto at coil:0 = 0 to 1, substation.valve_sp at holding:0-1 = 0 to 100, substation.room_sp at holding:2-3 = 16 to 23 (steps of 2 at most)
	rules["substation-conduit"] += Rule($name="write substation", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=3, $last=3)), $functions=set(5, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=0, $last=1, $written=T, $limited=T, $low=0, $high=65535, $whole=T),
		               Place($where="holding", $first=2, $last=3, $written=T, $limited=T, $low=0, $high=65535, $whole=T)));
	# 3. allow zone operations: unit 3, function 1, 3, 4 at coil:0, input:0-9, holding:0-3
	rules["substation-conduit"] += Rule($name="read substation", $allow=T, $clients=set(10.20.8.0/24), $units=vector(Span($first=3, $last=3)), $functions=set(1, 3, 4),
		$places=vector(Place($where="coils", $first=0, $last=0),
		               Place($where="input", $first=0, $last=9),
		               Place($where="holding", $first=0, $last=3)));
	# 4. allow zone operations as role operator: unit 3, function 5, 15, 16 of substation.auto at coil:0 = 0 to 1, substation.valve_sp at holding:0-1 = 0 to 100, substation.room_sp at holding:2-3 = 16 to 23 (steps of 2 at most)
	rules["substation-conduit"] += Rule($name="write substation", $allow=T, $clients=set(10.20.8.0/24), $units=vector(Span($first=3, $last=3)), $functions=set(5, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=0, $last=1, $written=T, $limited=T, $low=0, $high=65535, $whole=T),
		               Place($where="holding", $first=2, $last=3, $written=T, $limited=T, $low=0, $high=65535, $whole=T)));
	}
