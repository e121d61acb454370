##! Northfield water works: what the guard would refuse.
##! Made by `port502 export --to zeek`; make it anew instead of changing it.
##!
##! Load it with `@load` from local.zeek, or name it on the command line.
##!
##! Not in it:
##! - how many connections and requests there may be
##! - guard pumps: the rate of requests of one client
##! - guard pumps, rule 11 (write intake): of intake.run: its rate
##! - guard pumps, rule 11 (write intake): of intake.auto: its rate
##! - guard pumps, rule 11 (write intake): of intake.reset: its rate
##! - guard pumps, rule 11 (write intake): of intake.speed_sp: its step
##! - guard pumps, rule 1 (no restart): the sub-function: it denies function 8 where no rule allows it, and only there
##! - guard tank, rule 5 (write tank): of tank.inlet_sp: its step
##! - guard booster, rule 2 (write booster): all of it: only a certificate makes it hold
##! - guard booster, rule 3 (write booster): all of it: only a certificate makes it hold
##! - guard booster, rule 4 (read booster): the hours: it holds always
##! - guard booster, rule 5 (write booster): roles from certificates (those of zones are in it)
##! - guard booster, rule 5 (write booster): the hours: it holds always
##! - guard booster, rule 5 (write booster): of booster.run: its rate
##! - guard booster, rule 5 (write booster): of booster.reset: its rate
##! - guard booster, rule 5 (write booster): of booster.pressure_sp: its limits, its step
##! - guard booster, rule 6 (write booster): roles from certificates (those of zones are in it)
##! - guard booster, rule 6 (write booster): the hours: it holds always
##! - guard booster, rule 7 (read booster): all of it: only a certificate makes it hold
##! - guard booster, rule 8 (write booster): all of it: only a certificate makes it hold
##! - guard booster, rule 9 (who are you): the MEI type: function 43 as a whole is let be
##! - guard booster: what goes in by TLS, but for who connects

@load base/frameworks/notice
@load base/protocols/modbus

module Port502_northfield_water_works;

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
	Analyzer::register_for_ports(Analyzer::ANALYZER_MODBUS, set(502/tcp, 1502/tcp, 1503/tcp));

	# guard pumps: link bus-a
	doors += Door($conduit="pumps", $p=502/tcp, $hosts=set(10.20.1.5), $clients=set(10.20.0.0/24, 10.20.4.0/28)); # tcp://0.0.0.0:502
	guarded += Guarded($conduit="pumps", $host=10.20.1.20, $p=4001/tcp, $guards=set(10.20.1.5));
	rules["pumps"] = vector();
	# 1. deny anyone: unit 1-2, 5-6, function 8/1, 8/4
	rules["pumps"] += Rule($name="no restart", $allow=F, $units=vector(Span($first=1, $last=2), Span($first=5, $last=6)), $functions=set(0));
	# 2. allow zone control: unit 1, function 1, 2, 3 at coil:0-2, discrete:0-1, holding:100-104, holding:106-109, holding:130-133, holding:200-202, holding:210
	rules["pumps"] += Rule($name="read intake", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=1, $last=1)), $functions=set(1, 2, 3),
		$places=vector(Place($where="coils", $first=0, $last=2),
		               Place($where="discretes", $first=0, $last=1),
		               Place($where="holding", $first=100, $last=104),
		               Place($where="holding", $first=106, $last=109),
		               Place($where="holding", $first=130, $last=133),
		               Place($where="holding", $first=200, $last=202),
		               Place($where="holding", $first=210, $last=210)));
	# 3. allow zone control as role operator or engineer: unit 1, function 5, 6, 15, 16 of intake.run at coil:0 = 0 to 1 (6/min at most), intake.auto at coil:1 = 0 to 1 (6/min at most), intake.reset at coil:2 = 0 to 1 (6/min at most), intake.speed_sp at holding:200 = 200 to 500 (steps of 50 at most)
	#    for nobody who shows no certificate
	# 4. allow zone control as role engineer: unit 1, function 6, 16 of intake.level_sp at holding:202 = 200 to 500 (steps of 50 at most)
	#    for nobody who shows no certificate
	# 5. allow zone control: unit 2, function 2, 3, 4 at discrete:4, input:0-5, holding:10
	rules["pumps"] += Rule($name="read filter", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=2, $last=2)), $functions=set(2, 3, 4),
		$places=vector(Place($where="discretes", $first=4, $last=4),
		               Place($where="input", $first=0, $last=5),
		               Place($where="holding", $first=10, $last=10)));
	# 6. allow zone control as role engineer: unit 2, function 6, 16 of filter.state at holding:10 = 0, 1, 2 (while intake.running is 0)
	#    for nobody who shows no certificate
	# 7. allow zone control: unit 5, function 3, 4 at input:0-1, holding:0
	rules["pumps"] += Rule($name="read dosing", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=5, $last=5)), $functions=set(3, 4),
		$places=vector(Place($where="input", $first=0, $last=1),
		               Place($where="holding", $first=0, $last=0)));
	# 8. allow zone control as role engineer: unit 5, function 6, 16 of dosing.chlorine_sp at holding:0 = 20 to 100 (steps of 20 at most)
	#    for nobody who shows no certificate
	# 9. allow zone control: unit 6, function 4 at input:0-3
	rules["pumps"] += Rule($name="read meter", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=6, $last=6)), $functions=set(4),
		$places=vector(Place($where="input", $first=0, $last=3)));
	# 10. allow zone operators: unit 1, function 1, 2, 3 at coil:0-2, discrete:0-1, holding:100-104, holding:106-109, holding:130-133, holding:200-202, holding:210
	rules["pumps"] += Rule($name="read intake", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=1, $last=1)), $functions=set(1, 2, 3),
		$places=vector(Place($where="coils", $first=0, $last=2),
		               Place($where="discretes", $first=0, $last=1),
		               Place($where="holding", $first=100, $last=104),
		               Place($where="holding", $first=106, $last=109),
		               Place($where="holding", $first=130, $last=133),
		               Place($where="holding", $first=200, $last=202),
		               Place($where="holding", $first=210, $last=210)));
	# 11. allow zone operators as role operator or engineer: unit 1, function 5, 6, 15, 16 of intake.run at coil:0 = 0 to 1 (6/min at most), intake.auto at coil:1 = 0 to 1 (6/min at most), intake.reset at coil:2 = 0 to 1 (6/min at most), intake.speed_sp at holding:200 = 200 to 500 (steps of 50 at most)
	rules["pumps"] += Rule($name="write intake", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=1, $last=1)), $functions=set(5, 6, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="coils", $first=1, $last=1, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="coils", $first=2, $last=2, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=200, $last=200, $written=T, $limited=T, $low=200, $high=500)));
	# 12. allow zone operators as role engineer: unit 1, function 6, 16 of intake.level_sp at holding:202 = 200 to 500 (steps of 50 at most)
	#    for nobody who shows no certificate
	# 13. allow zone operators: unit 2, function 2, 3, 4 at discrete:4, input:0-5, holding:10
	rules["pumps"] += Rule($name="read filter", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=2, $last=2)), $functions=set(2, 3, 4),
		$places=vector(Place($where="discretes", $first=4, $last=4),
		               Place($where="input", $first=0, $last=5),
		               Place($where="holding", $first=10, $last=10)));
	# 14. allow zone operators as role engineer: unit 2, function 6, 16 of filter.state at holding:10 = 0, 1, 2 (while intake.running is 0)
	#    for nobody who shows no certificate
	# 15. allow zone operators: unit 5, function 3, 4 at input:0-1, holding:0
	rules["pumps"] += Rule($name="read dosing", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=5, $last=5)), $functions=set(3, 4),
		$places=vector(Place($where="input", $first=0, $last=1),
		               Place($where="holding", $first=0, $last=0)));
	# 16. allow zone operators as role engineer: unit 5, function 6, 16 of dosing.chlorine_sp at holding:0 = 20 to 100 (steps of 20 at most)
	#    for nobody who shows no certificate
	# 17. allow zone operators: unit 6, function 4 at input:0-3
	rules["pumps"] += Rule($name="read meter", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=6, $last=6)), $functions=set(4),
		$places=vector(Place($where="input", $first=0, $last=3)));

	# guard tank: device tank
	doors += Door($conduit="tank", $p=1503/tcp, $hosts=set(10.20.1.5), $clients=set(10.20.0.0/24, 10.20.4.0/28)); # tcp://0.0.0.0:1503
	guarded += Guarded($conduit="tank", $host=10.20.1.21, $p=502/tcp, $guards=set(10.20.1.5));
	rules["tank"] = vector();
	# 1. allow zone control: unit 3, function 2, 3, 4 at discrete:10-11, input:20-23, holding:0-11
	rules["tank"] += Rule($name="read tank", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=3, $last=3)), $functions=set(2, 3, 4),
		$places=vector(Place($where="discretes", $first=10, $last=11),
		               Place($where="input", $first=20, $last=23),
		               Place($where="holding", $first=0, $last=11)));
	# 2. allow zone control as role operator or engineer: unit 3, function 6, 16 of tank.inlet_sp at holding:10 = 0 to 1000 (steps of 250 at most)
	#    for nobody who shows no certificate
	# 3. allow zone control as role engineer: unit 3, function 6, 16 of tank.outlet_sp at holding:11 = 500 to 1000 (steps of 250 at most)
	#    for nobody who shows no certificate
	# 4. allow zone operators: unit 3, function 2, 3, 4 at discrete:10-11, input:20-23, holding:0-11
	rules["tank"] += Rule($name="read tank", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=3, $last=3)), $functions=set(2, 3, 4),
		$places=vector(Place($where="discretes", $first=10, $last=11),
		               Place($where="input", $first=20, $last=23),
		               Place($where="holding", $first=0, $last=11)));
	# 5. allow zone operators as role operator or engineer: unit 3, function 6, 16 of tank.inlet_sp at holding:10 = 0 to 1000 (steps of 250 at most)
	rules["tank"] += Rule($name="write tank", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=3, $last=3)), $functions=set(6, 16),
		$places=vector(Place($where="holding", $first=10, $last=10, $written=T, $limited=T, $low=0, $high=1000)));
	# 6. allow zone operators as role engineer: unit 3, function 6, 16 of tank.outlet_sp at holding:11 = 500 to 1000 (steps of 250 at most)
	#    for nobody who shows no certificate

	# guard booster: device booster
	doors += Door($conduit="booster", $p=1502/tcp, $hosts=set(10.20.1.5), $clients=set(10.20.0.0/24, 10.20.4.0/28, 10.20.5.0/24)); # tcp://0.0.0.0:1502
	doors += Door($conduit="booster", $p=802/tcp, $hosts=set(10.20.1.5), $clients=set(10.20.0.0/24, 10.20.4.0/28, 10.20.5.0/24), $encrypted=T); # tls://0.0.0.0:802
	guarded += Guarded($conduit="booster", $host=10.20.1.22, $p=502/tcp, $guards=set(10.20.1.5));
	rules["booster"] = vector();
	# 1. allow zone control: unit 4, function 1, 2, 3 at coil:0-1, discrete:0-3, holding:0-40, holding:900-907
	rules["booster"] += Rule($name="read booster", $allow=T, $clients=set(10.20.0.0/24), $units=vector(Span($first=4, $last=4)), $functions=set(1, 2, 3),
		$places=vector(Place($where="coils", $first=0, $last=1),
		               Place($where="discretes", $first=0, $last=3),
		               Place($where="holding", $first=0, $last=40),
		               Place($where="holding", $first=900, $last=907)));
	# 2. allow zone control as role operator or engineer: unit 4, function 5, 15, 16 of booster.run at coil:0 = 0 to 1 (6/min at most), booster.reset at coil:1 = 0 to 1 (6/min at most), booster.pressure_sp at holding:20-21 = 3.5 to 7 (steps of 0.5 at most)
	#    for nobody who shows no certificate
	# 3. allow zone control as role operator: unit 4, function 22 of booster.boost at holding:40:bit3 = any
	#    for nobody who shows no certificate
	# 4. allow zone operators: unit 4, function 1, 2, 3 at coil:0-1, discrete:0-3, holding:0-40, holding:900-907, mon-fri 06:00-18:00
	rules["booster"] += Rule($name="read booster", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=4, $last=4)), $functions=set(1, 2, 3),
		$places=vector(Place($where="coils", $first=0, $last=1),
		               Place($where="discretes", $first=0, $last=3),
		               Place($where="holding", $first=0, $last=40),
		               Place($where="holding", $first=900, $last=907)));
	# 5. allow zone operators as role operator or engineer: unit 4, function 5, 15, 16 of booster.run at coil:0 = 0 to 1 (6/min at most), booster.reset at coil:1 = 0 to 1 (6/min at most), booster.pressure_sp at holding:20-21 = 3.5 to 7 (steps of 0.5 at most), mon-fri 06:00-18:00
	rules["booster"] += Rule($name="write booster", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=4, $last=4)), $functions=set(5, 15, 16),
		$places=vector(Place($where="coils", $first=0, $last=0, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="coils", $first=1, $last=1, $written=T, $limited=T, $low=0, $high=1),
		               Place($where="holding", $first=20, $last=21, $written=T, $limited=T, $low=0, $high=65535, $whole=T)));
	# 6. allow zone operators as role operator: unit 4, function 22 of booster.boost at holding:40:bit3 = any, mon-fri 06:00-18:00
	rules["booster"] += Rule($name="write booster", $allow=T, $clients=set(10.20.4.0/28), $units=vector(Span($first=4, $last=4)), $functions=set(22),
		$places=vector(Place($where="holding", $first=40, $last=40, $written=T, $bits=8)));
	# 7. allow zone engineering as role engineer as subject CN=*.northfield.example: unit 4, function 1, 2, 3 at coil:0-1, discrete:0-3, holding:0-40, holding:900-907
	#    for nobody who shows no certificate
	# 8. allow zone engineering as role engineer as subject CN=*.northfield.example: unit 4, function 5, 15, 16 of booster.run at coil:0 = 0 to 1 (6/min at most), booster.reset at coil:1 = 0 to 1 (6/min at most), booster.pressure_sp at holding:20-21 = 3.5 to 7 (steps of 0.5 at most)
	#    for nobody who shows no certificate
	# 9. allow zone engineering: unit 4, function 43/14
	rules["booster"] += Rule($name="who are you", $allow=T, $clients=set(10.20.5.0/24), $units=vector(Span($first=4, $last=4)), $functions=set(43));
	}
