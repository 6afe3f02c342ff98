-- Take the first waiting calls of the queue that have no dispatch under way. KEYS: waiting, inflight.
-- ARGV: claim key prefix, free slots, ms that a taken call is left alone, most to take now. At most `free slots` dispatches
-- are under way at once, whoever asks, so controller replicas never promise one slot twice.
-- Returns {room, ...}, the first of the queue first.
-- Looks at those under way, which stand at the head, and at those it takes: its time does not grow with those that wait.
local AT_ONCE = 500
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local busy = redis.call('ZCARD', KEYS[2])
local left = math.min(tonumber(ARGV[4]), tonumber(ARGV[2]) - busy)
local part = math.min(AT_ONCE, busy + left + 16)
local taken, from = {}, 0
while #taken < left do
  local rooms = redis.call('ZRANGE', KEYS[1], from, from + part - 1)
  if #rooms == 0 then
    break
  end
  from = from + #rooms
  local under_way, open, claims = redis.call('ZMSCORE', KEYS[2], unpack(rooms)), {}, {}
  for i, room in ipairs(rooms) do
    if not under_way[i] then
      open[#open + 1] = room
      claims[#claims + 1] = ARGV[1] .. room
    end
  end
  if #open > 0 then
    local held, put = redis.call('MGET', unpack(claims)), {}
    for i, room in ipairs(open) do
      if #taken < left and not held[i] then
        taken[#taken + 1] = room
        put[#put + 1] = now + tonumber(ARGV[3])
        put[#put + 1] = room
      end
    end
    if #put > 0 then
      redis.call('ZADD', KEYS[2], unpack(put))
    end
  end
end
return taken
