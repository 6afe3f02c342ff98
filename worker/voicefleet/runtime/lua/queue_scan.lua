-- Bring the queue up to date with callers and claims, and tell what changed since the last look.
-- KEYS: callers, waiting, inflight, changed, renewed, held.
-- ARGV: claim key prefix, grace_ms, call key prefix, ms of waiting that one level of priority is worth, prefix of the
-- jobs' channels, ms after which a renewal is overdue, ms that changes are kept, time of the last look (0: none),
-- time of the last look at every call, ms between two of those, time at which it was last asked who listens, ms between
-- two of those, room, ... (to be looked at in any case).
-- A caller without a claim for longer than the grace is a waiting call. Its rank is the time it joined, less its
-- priority: it stays as it is, so that whoever waits longer overtakes every later one in the end.
-- Returns {now_ms, 1 when every call was looked at, id of the server or '', {} when nobody asked who listens, else
-- {1, {job that holds a call and does not listen, its room}, ...}, {room, joined_ms or '', rank or '', claim or '',
-- served}, ...}. Looked at are the calls that changed, those asked
-- for, and those whose job is silent or overdue; without a time of joining there is no such call (any more).
-- `served` is the rank a call waited with when this very scan found its claim, else '': one scan of one replica sees it.
local AT_ONCE = 1000
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local last, last_full = tonumber(ARGV[8]), tonumber(ARGV[9])
-- A clock that went back is another server's: what happened in between is not known.
local full = last == 0 or now < last or now - last_full >= tonumber(ARGV[10])
local overdue = now - tonumber(ARGV[6])

local rooms, known = {}, {}
local function look_at(room)
  if not known[room] then
    known[room] = true
    rooms[#rooms + 1] = room
  end
end
local function in_parts(list, work)
  for from = 1, #list, AT_ONCE do
    local part = {}
    for i = from, math.min(#list, from + AT_ONCE - 1) do
      part[#part + 1] = list[i]
    end
    work(part)
  end
end
local function priority(room)
  local text = redis.call('GET', ARGV[3] .. room)
  if not text then
    return 0
  end
  local readable, call = pcall(cjson.decode, text)
  local level = readable and type(call) == 'table' and tonumber(call.priority) or 0
  return math.max(0, math.min(9, level))
end

if full then
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - tonumber(ARGV[7]))
  for _, key in ipairs({KEYS[1], KEYS[2]}) do
    for _, room in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      look_at(room)
    end
  end
else
  for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], last, '+inf')) do
    look_at(room)
  end
end
for i = 13, #ARGV do
  look_at(ARGV[i])
end
for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', '(' .. overdue)) do
  look_at(room)
end
local silent, channels, room_of = {}, {}, {}
if now - tonumber(ARGV[11]) >= tonumber(ARGV[12]) or now < tonumber(ARGV[11]) then
  silent[1] = 1
  local held = redis.call('HGETALL', KEYS[6])
  for i = 1, #held, 2 do
    local channel = ARGV[5] .. held[i + 1]
    channels[#channels + 1] = channel
    room_of[channel] = held[i]
  end
end
in_parts(channels, function(part)
  local counts = redis.call('PUBSUB', 'NUMSUB', unpack(part))
  for i = 1, #counts, 2 do
    if tonumber(counts[i + 1]) == 0 then
      local room = room_of[counts[i]]
      silent[#silent + 1] = {string.sub(counts[i], #ARGV[5] + 1), room}
      look_at(room)
    end
  end
end)

-- A Redis that does not let us ask for its server's id does without: other guards are left.
local server = redis.pcall('INFO', 'server')
local life = type(server) == 'string' and string.match(server, 'run_id:(%w+)') or ''
local out = {tostring(now), full and 1 or 0, life, silent}
in_parts(rooms, function(part)
  local claim_keys = {}
  for i, room in ipairs(part) do
    claim_keys[i] = ARGV[1] .. room
  end
  local claims = redis.call('MGET', unpack(claim_keys))
  local joined = redis.call('ZMSCORE', KEYS[1], unpack(part))
  local ranks = redis.call('ZMSCORE', KEYS[2], unpack(part))
  local inflight = redis.call('ZMSCORE', KEYS[3], unpack(part))
  local renewed = redis.call('ZMSCORE', KEYS[5], unpack(part))
  for i, room in ipairs(part) do
    local claim, rank, served = claims[i], ranks[i], ''
    if claim or not joined[i] then
      if rank then
        served = claim and rank or ''
        redis.call('ZREM', KEYS[2], room)
        rank = false
      end
      if inflight[i] then
        redis.call('ZREM', KEYS[3], room)
      end
    elseif not rank and now - tonumber(joined[i]) >= tonumber(ARGV[2]) then
      rank = tostring(tonumber(joined[i]) - priority(room) * tonumber(ARGV[4]))
      redis.call('ZADD', KEYS[2], rank, room)
    end
    if not claim then
      if renewed[i] then
        redis.call('ZREM', KEYS[5], room)
      end
    elseif full and not renewed[i] then
      -- A job of an older release renews its claim and does not say so here.
      local readable, value = pcall(cjson.decode, claim)
      if readable and type(value) == 'table' and value.state == 'live' and tonumber(value.renewed_ms) then
        redis.call('ZADD', KEYS[5], value.renewed_ms, room)
      end
    end
    out[#out + 1] = {room, joined[i] or '', rank or '', claim or '', served}
  end
end)
return out
