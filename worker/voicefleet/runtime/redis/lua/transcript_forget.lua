-- What was said in a room is over. KEYS: transcript, transcript_of. args: room_sid.
-- Room names recur: what was said in another room of the same name stays. Returns 1 when it was deleted.
if args.room_sid == '' or redis.call('GET', KEYS[2]) ~= args.room_sid then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
return 1
