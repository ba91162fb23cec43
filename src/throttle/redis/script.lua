-- Decides all asks of a request at once: spends all of them, or nothing.
-- KEYS: the key of each ask. ARGV: the time in microseconds (none: the server's), what to do, and eight values for each ask:
--   rate    'r', what a unit takes (microseconds, parts, parts of one), what a burst takes (microseconds, parts), cost, more
--   window  'w', limit, segment in microseconds, counts, the most of one, '', cost, more
-- `more` is what to take beside the cost, as a lease; or, for what is given back, where it was spent.
-- Answers whether all was spent, the time, what was there under each key, and what was taken beside each cost.
--
-- What is kept:
--   rate    `arrival` or `arrival/part`, and `@now` behind it if that is a debt, more than a burst
--   window  the number of the newest segment, and what was spent in it and in those before it, up to the last one that is not zero
-- Numbers have no sign and no leading zero. Whatever else is there counts as if all was just spent, and what is of a time to come as of
-- now: a clock that was set back, or data of another server. Such values are written anew at once, or they would be found again and again.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end
local action = ARGV[2]
-- Milliseconds for which a key stays when all has come back. A test's time is not the server's.
local rest = ARGV[1] == '' and 1 or 600000
local LATEST = 9007199254740991

local function text(number)
  return string.format('%.0f', number)
end

local function number(digits)
  if digits == '0' or #digits <= 16 and string.find(digits, '^[1-9]%d*$') then
    local value = tonumber(digits)
    return value <= LATEST and value or nil
  end
end

local rate, window = {}, {}

-- Microseconds, parts of one, and the time of a debt; none if it is something else.
local function arrival(raw, ask)
  local value, at = string.match(raw, '^(.*)@(.*)$')
  local micros, part = string.match(value or raw, '^(.*)/(.*)$')
  micros, part, at = number(micros or value or raw), part and number(part) or part, at and number(at) or at
  local is_part = not part or type(part) == 'number' and part > 0 and part < ask[3]
  if micros and is_part and type(at) ~= 'string' then
    return micros, part or 0, at
  end
end

-- More than a burst takes.
local function is_debt(micros, part, ask, at)
  micros = micros - at
  return micros > ask[4] or micros == ask[4] and part > ask[5]
end

local function is_later(micros, part, than)
  return micros > than[1] or micros == than[1] and part > than[2]
end

-- Behind a burst, and a debt of another one: a charge makes no more.
local function latest(ask, at)
  local part = 2 * ask[5]
  local carry = part >= ask[3] and 1 or 0
  return { at + 2 * ask[4] + carry, part - carry * ask[3] }
end

function rate.read(raw, ask)
  if not raw then
    return { now, 0 }
  end
  local micros, part, at = arrival(raw, ask)
  local is_wrong = micros and ((not at) == is_debt(micros, part, ask, at or now) or at and is_later(micros, part, latest(ask, at)))
  if not micros or is_wrong then
    return { now + ask[4], ask[5] }, true
  end
  if at and at > now then
    return { now + micros - at, part }, true
  end
  if micros < now then
    micros, part = now, 0
  end
  return { micros, part }
end

-- What so much takes.
function rate.time(ask, cost)
  local part = cost * ask[2]
  local carry = math.floor(part / ask[3])
  return cost * ask[1] + carry, part - carry * ask[3]
end

function rate.fits(state, ask, cost)
  local micros, part = rate.time(ask, cost)
  micros, part = state[1] - now + micros, state[2] + part
  if part >= ask[3] then
    micros, part = micros + 1, part - ask[3]
  end
  return micros < ask[4] or micros == ask[4] and part <= ask[5]
end

function rate.spend(state, ask, cost, is_charge)
  local micros, part = rate.time(ask, cost)
  micros, part = state[1] + micros, state[2] + part
  if part >= ask[3] then
    micros, part = micros + 1, part - ask[3]
  end
  -- A charge forgives none.
  local most = latest(ask, now)
  if is_charge and is_later(micros, part, most) then
    micros, part = most[1], most[2]
    if is_later(state[1], state[2], most) then
      micros, part = state[1], state[2]
    end
  end
  state[1], state[2] = math.min(micros, LATEST), part
end

function rate.left(state, ask)
  local room = ask[4] - (state[1] - now) + (ask[5] - state[2]) / ask[3]
  return math.floor(room / (ask[1] + ask[2] / ask[3]))
end

-- What of it has not come back by itself since: more would be given twice.
function rate.restore(state, ask, cost, at)
  local micros, part = arrival(at, ask)
  micros = micros - now
  if micros < 0 then
    return
  end
  local whole, rest = rate.time(ask, cost)
  if micros < whole or micros == whole and part < rest then
    whole, rest = micros, part
  end
  state[1], state[2] = state[1] - whole, state[2] - rest
  if state[2] < 0 then
    state[1], state[2] = state[1] - 1, state[2] + ask[3]
  end
  -- What was spent may be forgotten by now.
  if state[1] < now then
    state[1], state[2] = now, 0
  end
end

function rate.write(state, ask)
  local value = text(state[1])
  if state[2] > 0 then
    value = value .. '/' .. text(state[2])
  elseif state[1] <= now then
    return
  end
  if is_debt(state[1], state[2], ask, now) then
    value = value .. '@' .. text(now)
  end
  return value, (state[1] - now) / 1000
end

-- The segment's number, and the counts; none if it is something else.
local function segments(raw, ask)
  local numbers = {}
  for digits in string.gmatch(raw .. ' ', '([^ ]*) ') do
    local value = number(digits)
    if not value or value >= (numbers[1] and ask[4] + 1 or 2 ^ 40) or #numbers > ask[3] then
      return
    end
    numbers[#numbers + 1] = value
  end
  return #numbers > 1 and numbers[#numbers] > 0 and numbers or nil
end

function window.read(raw, ask)
  local newest = math.floor(now / ask[2])
  local before = raw and segments(raw, ask)
  local is_strange = raw and (not before or before[1] > newest)
  before = before or { newest, raw and ask[1] }
  local counts, passed = { newest = newest }, math.max(newest - before[1], 0)
  for age = 1, ask[3] do
    counts[age] = age > passed and before[age + 1 - passed] or 0
  end
  return counts, is_strange
end

function window.left(counts, ask)
  local total = 0
  for age = 1, ask[3] do
    total = total + counts[age]
  end
  return ask[1] - total
end

function window.fits(counts, ask, cost)
  return cost <= window.left(counts, ask)
end

function window.spend(counts, ask, cost)
  counts[1] = math.min(counts[1] + cost, ask[4])
end

function window.restore(counts, ask, cost, at)
  local age = counts.newest - tonumber(at) + 1
  if counts[age] then
    counts[age] = math.max(counts[age] - cost, 0)
  end
end

function window.write(counts, ask)
  local last = ask[3]
  while last > 0 and counts[last] == 0 do
    last = last - 1
  end
  if last == 0 then
    return
  end
  local value = { text(counts.newest) }
  for age = 1, last do
    value[age + 1] = text(counts[age])
  end
  return table.concat(value, ' '), ((counts.newest + ask[3]) * ask[2] - now) / 1000
end

local function store(key, ask, state)
  local value, millis = ask.kind.write(state, ask)
  if value then
    redis.call('SET', key, value, 'PX', text(math.max(math.ceil(millis), 0) + rest))
  else
    redis.call('DEL', key)
  end
  return value
end

local asks, found, states = {}, {}, {}
local all = true
for index, key in ipairs(KEYS) do
  local first = 2 + (index - 1) * 8
  local ask = { kind = ARGV[first + 1] == 'r' and rate or window, cost = tonumber(ARGV[first + 7]), more = ARGV[first + 8] }
  for number = 1, 5 do
    ask[number] = tonumber(ARGV[first + 1 + number])
  end
  asks[index] = ask
  if not states[key] then
    local raw, is_strange = redis.pcall('GET', key), false
    if type(raw) == 'table' then
      if not string.find(raw.err, '^-?WRONGTYPE') then
        return raw
      end
      raw = ''
    end
    states[key], is_strange = ask.kind.read(raw, ask)
    found[key] = is_strange and store(key, ask, states[key]) or raw
  end
  local state = states[key]
  if action == 'acquire' then
    all = all and ask.kind.fits(state, ask, ask.cost)
  end
  if action == 'return' then
    ask.kind.restore(state, ask, ask.cost, ask.more)
  else
    -- Of no account if one of them has refused: nothing is written then.
    ask.kind.spend(state, ask, ask.cost, action == 'charge')
  end
end

local answer = { all and 1 or 0, now }
for index, key in ipairs(KEYS) do
  answer[index + 2] = found[key]
end
for index, key in ipairs(KEYS) do
  local ask, taken = asks[index], 0
  if all and action == 'acquire' then
    -- Half of what is left at most, so that others find something.
    taken = math.min(tonumber(ask.more), math.floor(ask.kind.left(states[key], ask) / 2))
    taken = math.max(taken, 0)
    ask.kind.spend(states[key], ask, taken)
  end
  answer[#KEYS + 2 + index] = taken
  ask.spent = ask.cost + taken
end

if all then
  local written = {}
  for index, key in ipairs(KEYS) do
    local ask = asks[index]
    if ask.spent > 0 and not written[key] then
      written[key] = true
      store(key, ask, states[key])
    end
  end
end
return answer
