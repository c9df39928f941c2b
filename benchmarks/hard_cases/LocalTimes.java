import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.zone.ZoneOffsetTransition;
import java.time.zone.ZoneRules;
import java.time.zone.ZoneRulesProvider;

/**
 * What java.time makes of local times: reads {@code ZONE|TIME,TIME,...} lines.
 *
 * <p>First a line with the releases. Then for each line {@code n,first,second,end} of every time: how many offsets are
 * valid (0 in a gap, 2 in an overlap), the instants (epoch seconds) with the earlier and the later offset (in a gap both
 * are the time moved on by its length), and the instant at which the gap that swallows it ends.
 */
public class LocalTimes {
  public static void main(String[] args) throws IOException {
    System.out.println(
        "Java " + System.getProperty("java.version") + ", tzdata "
            + ZoneRulesProvider.getVersions("Europe/Berlin").lastEntry().getKey());
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      ZoneId zone = ZoneId.of(line.substring(0, line.indexOf('|')));
      ZoneRules rules = zone.getRules();
      var found = new StringBuilder();
      for (String text : line.substring(line.indexOf('|') + 1).split(",")) {
        LocalDateTime local = LocalDateTime.parse(text.replace(' ', 'T'));
        ZonedDateTime there = local.atZone(zone);
        ZoneOffsetTransition change = rules.getTransition(local);
        long first = there.withEarlierOffsetAtOverlap().toEpochSecond();
        found.append(rules.getValidOffsets(local).size()).append(',').append(first).append(',');
        found.append(there.withLaterOffsetAtOverlap().toEpochSecond()).append(',');
        found.append(change != null && change.isGap() ? change.toEpochSecond() : first).append(' ');
      }
      System.out.println(found.toString().strip());
    }
  }
}
