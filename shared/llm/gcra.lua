-- The shared rate limit of one provider/model: GCRA over requests and tokens at once, booked forward, first come,
-- first served. One hash; the only clock is the server's. One run does all that a worker has to say, in this order.
--
-- KEYS[1]   the hash: epoch, pause_until, and per unit its arrival time and its learned limit per minute (0: none)
-- ARGV[1]   JSON:
--   ttl_ms      how long an idle limit is remembered
--   burst_ms    how much of the past's unused rate may be used at once
--   requests, tokens, each with
--     start       limit while nothing is known
--     ceiling     of the user, 0: none
--     settled     actual minus booked, the sum of all calls that are settled, may be < 0
--     limit       the provider's, now learned; -1: not said; 0: it told of none, which counts while nothing is known
--     left        what is left of it now; -1: not said
--   epoch       the one in which the settled calls were booked
--   pause_ms    start no call for so long; 0: no pause
--   asked       the tokens of each call that asks, in order; nobody is booked before one that is not
--   sure        so many of them are booked whatever their wait
--   soon_ms     those beyond are booked as long as their wait is no longer
--   longest_ms  the longest wait that is booked
-- returns {epoch, wait_ms of the first call that would wait too long or -1, wait_ms of each call that is booked ...}
--
-- An epoch is a span over which arrival times mean the same. A pause, a newly learned limit and the loss of the state
-- each begin one, with no credit: sleepers book again, and a settlement of an older epoch is dropped, because the
-- charge that it would correct is no longer in the arrival times.
local MAX_AHEAD_MS = 600000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = time[1] .. '.' .. time[2]
local key, told = KEYS[1], cjson.decode(ARGV[1])
local burst = told.burst_ms

local known = redis.call('HMGET', key, 'epoch', 'pause_until', 'requests', 'requests_limit', 'tokens', 'tokens_limit')
local epoch = known[1] or stamp -- never seen, expired or flushed
local pause_until = tonumber(known[2] or 0)

local function read_unit(unit, arrival, learned)
  unit.learned = learned and tonumber(learned)
  local limit = unit.learned or (unit.ceiling == 0 and unit.start) or 0
  if unit.ceiling > 0 and (limit == 0 or limit > unit.ceiling) then limit = unit.ceiling end
  unit.interval = limit > 0 and 60000 / limit or 0
  -- The server's clock may jump back (failover): never book further ahead than ten minutes past a pause.
  unit.arrival = math.min(tonumber(arrival or now + burst), math.max(now, pause_until) + MAX_AHEAD_MS)
  return unit
end

local requests = read_unit(told.requests, known[3], known[4])
local tokens = read_unit(told.tokens, known[5], known[6])
local units = {requests, tokens}

local function begin_epoch()
  epoch = stamp
  for _, unit in ipairs(units) do unit.arrival = math.max(now, pause_until) + burst end
end

if known[1] and epoch == told.epoch then
  for _, unit in ipairs(units) do
    if unit.settled ~= 0 then unit.arrival = math.max(unit.arrival + unit.settled * unit.interval, now) end
  end
end

local changed = false
for _, unit in ipairs(units) do
  local limit = unit.limit
  local is_news = not unit.learned or (limit > 0 and math.abs(limit - unit.learned) > 0.01 * unit.learned)
  if limit >= 0 and is_news then
    unit.learned = limit
    changed = true
  end
  if limit > 0 and unit.left >= 0 then
    unit.arrival = math.max(unit.arrival, now + burst - unit.left * unit.interval)
  end
end
if changed then begin_epoch() end

-- Replies of one storm need not each begin an epoch.
if told.pause_ms > 0 and now + told.pause_ms > pause_until + 250 then
  pause_until = now + told.pause_ms
  begin_epoch()
end

local answer, wait, sure = {epoch, -1}, math.max(0, pause_until - now), told.sure
-- A limit learned just now is in force from the next run on: its epoch starts without credit anyway.
for _, asked in ipairs(changed and {} or told.asked) do
  local cost_requests, cost_tokens = requests.interval, asked * tokens.interval
  local from_requests, from_tokens = math.max(requests.arrival, now), math.max(tokens.arrival, now)
  -- A request larger than a whole burst waits for a full bucket instead.
  wait = math.max(
    wait,
    cost_requests > burst and from_requests - now or from_requests + cost_requests - burst - now,
    cost_tokens > burst and from_tokens - now or from_tokens + cost_tokens - burst - now
  )
  if wait > told.longest_ms then
    answer[2] = math.ceil(wait)
    break
  end
  if sure <= 0 and wait > told.soon_ms then break end
  sure = sure - 1
  requests.arrival, tokens.arrival = from_requests + cost_requests, from_tokens + cost_tokens
  answer[#answer + 1] = math.ceil(wait)
end

local fields = {
  'epoch', epoch, 'pause_until', pause_until,
  'requests', string.format('%.3f', requests.arrival), 'tokens', string.format('%.3f', tokens.arrival),
}
if requests.learned then
  fields[#fields + 1] = 'requests_limit'
  fields[#fields + 1] = requests.learned
end
if tokens.learned then
  fields[#fields + 1] = 'tokens_limit'
  fields[#fields + 1] = tokens.learned
end
redis.call('HSET', key, unpack(fields))
-- Neither a booking nor a pause may outlive the state that holds it.
local held = math.max(wait, pause_until - now, requests.arrival - now, tokens.arrival - now, 0)
redis.call('PEXPIRE', key, math.ceil(held) + told.ttl_ms)
return answer
