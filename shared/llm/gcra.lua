-- The shared rate limit of one provider/model: GCRA over requests and tokens at once, booked forward, first come,
-- first served. One hash; the only clock is the server's.
--
-- KEYS[1]  the hash: epoch, pause_until, and per unit its arrival time and its learned limit per minute (0: none)
-- ARGV[1]  mode: acquire | check | settle | learn | pause
-- ARGV[2]  ttl_ms: how long an idle limit is remembered
-- ARGV[3]  burst_ms: how much of the past's unused rate may be used at once
-- then for requests and for tokens each: start limit (while nothing is known), ceiling (0: none), amount, extra
--   acquire  amount = what to book;                    ARGV[12] = the longest wait that is booked, in ms
--   settle   amount = actual minus booked, may be < 0; ARGV[12] = the epoch of the booking
--   learn    amount = the provider's limit, extra = what is left of it now; -1: not said; a limit of 0: the provider
--            told of none, which counts only while nothing else is known
--   pause    ARGV[12] = for how long, in ms
-- returns {wait_ms, 1 if booked, epoch}
--
-- An epoch is a span over which arrival times mean the same. A pause, a newly learned limit and the loss of the state
-- each begin one, with no credit: sleepers book again, and a settlement of an older epoch is dropped, because the
-- charge that it would correct is no longer in the arrival times.
local MAX_AHEAD_MS = 600000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = time[1] .. '.' .. time[2]
local key, mode = KEYS[1], ARGV[1]
local ttl, burst = tonumber(ARGV[2]), tonumber(ARGV[3])

local epoch = redis.call('HGET', key, 'epoch')
if not epoch then -- never seen, expired or flushed
  epoch = stamp
  redis.call('HSET', key, 'epoch', epoch)
end
local pause_until = tonumber(redis.call('HGET', key, 'pause_until') or 0)

local units = {}
for index, name in ipairs({'requests', 'tokens'}) do
  local at = 4 * index
  local unit = {name = name, amount = tonumber(ARGV[at + 2]), extra = tonumber(ARGV[at + 3])}
  local learned = redis.call('HGET', key, name .. '_limit')
  local ceiling = tonumber(ARGV[at + 1])
  unit.learned = learned and tonumber(learned)
  local limit = unit.learned or (ceiling == 0 and tonumber(ARGV[at])) or 0
  if ceiling > 0 and (limit == 0 or limit > ceiling) then limit = ceiling end
  unit.interval = limit > 0 and 60000 / limit or 0
  -- The server's clock may jump back (failover): never book further ahead than ten minutes past a pause.
  local arrival = tonumber(redis.call('HGET', key, name)) or (now + burst)
  unit.arrival = math.min(arrival, math.max(now, pause_until) + MAX_AHEAD_MS)
  units[index] = unit
end

local function remember()
  for _, unit in ipairs(units) do
    redis.call('HSET', key, unit.name, string.format('%.3f', unit.arrival))
  end
end

local function begin_epoch()
  epoch = stamp
  redis.call('HSET', key, 'epoch', epoch)
  for _, unit in ipairs(units) do unit.arrival = math.max(now, pause_until) + burst end
  remember()
end

local wait, booked = math.max(0, pause_until - now), 1

if mode == 'pause' then
  local till = now + tonumber(ARGV[12])
  if till > pause_until + 250 then -- replies of one storm need not each begin an epoch
    pause_until = till
    redis.call('HSET', key, 'pause_until', pause_until)
    begin_epoch()
  end
  wait = math.max(0, pause_until - now)
elseif mode == 'acquire' then
  for _, unit in ipairs(units) do
    unit.arrival = math.max(unit.arrival, now)
    local cost = unit.amount * unit.interval
    -- A request larger than a whole burst waits for a full bucket instead.
    wait = math.max(wait, cost > burst and unit.arrival - now or unit.arrival + cost - burst - now)
    unit.arrival = unit.arrival + cost
  end
  if wait > tonumber(ARGV[12]) then booked = 0 else remember() end
elseif mode == 'settle' then
  if epoch == ARGV[12] then
    for _, unit in ipairs(units) do
      unit.arrival = math.max(unit.arrival + unit.amount * unit.interval, now)
    end
    remember()
  end
elseif mode == 'learn' then
  local changed = false
  for _, unit in ipairs(units) do
    local limit = unit.amount
    local news = not unit.learned or (limit > 0 and math.abs(limit - unit.learned) > 0.01 * unit.learned)
    if limit >= 0 and news then
      redis.call('HSET', key, unit.name .. '_limit', limit)
      changed = true
    end
    if limit > 0 and unit.extra >= 0 then
      unit.arrival = math.max(unit.arrival, now + burst - unit.extra * unit.interval)
    end
  end
  if changed then begin_epoch() else remember() end
end

-- Neither a booking nor a pause may outlive the state that holds it.
local held = math.max(wait, pause_until - now, units[1].arrival - now, units[2].arrival - now, 0)
redis.call('PEXPIRE', key, math.ceil(held) + ttl)
return {math.ceil(wait), booked, epoch}
